import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { matmulDispatch } from '../../src/engine/matmul-dispatch'
import { Pipelines, SUM_THREADS } from '../../src/engine/pipelines'
import { f32Bits } from '../../src/engine/recording'
import { POOLING_KINDS } from '../../src/engine/run-encoding'
import { ATTENTIONS, MATMULS, type MatmulName } from '../../src/engine/variants'
import { type Bound, dispatch } from '../support/dispatch'
import { Random } from '../support/random-model'
import { destroyDevices, installWebGpu, openBestDevice, openDevice } from '../support/webgpu'

const HEAD_SIZE = 12
const POISONS = [Number.NaN, Number.POSITIVE_INFINITY]

/** Values without those from `begin` to `end`. */
function around(values: Float32Array, begin: number, end: number): number[] {
  return [...values.subarray(0, begin), ...values.subarray(end)]
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(Object.values(ATTENTIONS).filter((variant) => variant.kind !== 'split'))(
  'attention by %o',
  (variant) => {
    const LENGTHS = [9, 5, 20]
    const TOKENS = 34
    const [POISONED, END] = [9, 14]

    async function attend(device: GPUDevice, qkv: Float32Array<ArrayBuffer>) {
      const kernel = await new Pipelines(device).attention(variant, HEAD_SIZE, 'bidirectional', false)
      const step = variant.kind === 'tile' ? variant.queries : 1
      const blocks: number[] = []
      let start = 0
      for (const length of LENGTHS) {
        for (let query = start; query < start + length; query += step) {
          const count = Math.min(step, start + length - query)
          blocks.push(query, count, start, start + length, 0, 0, 0, 0)
        }
        start += length
      }
      const constants = [HEAD_SIZE, HEAD_SIZE, 3 * HEAD_SIZE, HEAD_SIZE, f32Bits(0.3), 1, 0]
      const bound = [new Uint32Array(blocks), qkv, new Float32Array(TOKENS * HEAD_SIZE)]
      return dispatch(device, kernel, constants, [blocks.length / 8], bound, 3)
    }

    it('shouldKeepNaNAndInfinityWithinTheirSequence', async () => {
      const device = await openDevice()
      const qkv = Float32Array.from(new Random(5).values(TOKENS * 3 * HEAD_SIZE, 1))
      const clean = await attend(device, qkv)
      const [begin, end] = [POISONED * HEAD_SIZE, END * HEAD_SIZE]
      for (const poison of POISONS) {
        const poisoned = await attend(device, qkv.slice().fill(poison, 3 * begin, 3 * end))
        expect(around(poisoned, begin, end)).toEqual(around(clean, begin, end))
        expect(poisoned.subarray(begin, end).some(Number.isFinite)).toBe(false)
      }
    })
  },
)

describe.each(Object.values(ATTENTIONS))('attention on a cache by %o', (variant) => {
  const CAPACITY = 80
  const PASTS = [70, 79, 5]
  const ROW = 2 * HEAD_SIZE

  /** A new token for each of three sequences. */
  async function attend(device: GPUDevice, qkv: Float32Array<ArrayBuffer>, cache: Float32Array<ArrayBuffer>) {
    const pipelines = new Pipelines(device)
    const kernel = await pipelines.attention(variant, HEAD_SIZE, 'causal', true)
    const split = variant.kind === 'split'
    const blocks = new Uint32Array(
      PASTS.flatMap((past, i) => [i, 1, 0, past + 1, past - i, past, i * CAPACITY, 0]),
    )
    const constants = [HEAD_SIZE, HEAD_SIZE, 3 * HEAD_SIZE, HEAD_SIZE, f32Bits(0.3), split ? 2 : 1, 64]
    const output = new Float32Array(3 * HEAD_SIZE)
    const partials = new Float32Array(3 * 2 * (HEAD_SIZE + 4))
    const bound = [blocks, qkv, output, cache]
    if (!split) {
      return dispatch(device, kernel, constants, [3], bound, 3)
    }
    const parts = await dispatch(device, kernel, constants, [3, 1, 2], [...bound, partials], 5)
    const combine = await pipelines.attentionCombine(HEAD_SIZE)
    return dispatch(device, combine, constants, [3, 1], [blocks, Float32Array.from(parts), output], 3)
  }

  it('shouldKeepNaNAndInfinityWithinTheirSequenceAndReadNothingBehindItsEnd', async () => {
    const device = await openDevice()
    const random = new Random(6)
    const qkv = Float32Array.from(random.values(3 * 3 * HEAD_SIZE, 1))
    const cache = Float32Array.from(random.values(3 * CAPACITY * ROW, 1))
    const clean = await attend(device, qkv, cache)
    expect(clean.every(Number.isFinite)).toBe(true)
    for (const poison of POISONS) {
      const wrongQkv = qkv.slice().fill(poison, 3 * HEAD_SIZE, 6 * HEAD_SIZE)
      const wrongCache = cache
        .slice()
        .fill(poison, CAPACITY * ROW, 2 * CAPACITY * ROW)
        .fill(poison, 70 * ROW, CAPACITY * ROW)
        .fill(poison, (2 * CAPACITY + 5) * ROW)
      const poisoned = await attend(device, wrongQkv, wrongCache)
      expect(around(poisoned, HEAD_SIZE, 2 * HEAD_SIZE)).toEqual(around(clean, HEAD_SIZE, 2 * HEAD_SIZE))
      expect(poisoned.subarray(HEAD_SIZE, 2 * HEAD_SIZE).some(Number.isFinite)).toBe(false)
    }
  })
})

describe.each(Object.keys(MATMULS) as MatmulName[])('the matmul %s', (variant) => {
  const [ROWS, COLUMNS, OUT] = [5, 32, 40]

  it('shouldKeepNaNAndInfinityWithinTheirRow', async () => {
    const device = /deep|subgroups/.test(variant) ? await openBestDevice() : await openDevice()
    const options = { variant, dtype: 'f32', unaligned: false, epilogue: undefined } as const
    const kernel = await new Pipelines(device).matmul(options)
    const { constants, grid } = matmulDispatch(MATMULS[variant], 'f32', {
      rows: ROWS,
      columns: COLUMNS,
      out: OUT,
      outputStride: OUT,
      mostSlices: 1,
    })
    const random = new Random(7)
    const input = Float32Array.from(random.values(ROWS * COLUMNS, 1))
    const weight = Float32Array.from(random.values(OUT * COLUMNS, 1))
    const multiply = (given: Float32Array<ArrayBuffer>) => {
      const bound = [given, weight, new Float32Array(OUT), new Float32Array(ROWS * OUT)]
      return dispatch(device, kernel, constants, grid, bound, 4)
    }
    const clean = await multiply(input)
    for (const poison of POISONS) {
      const poisoned = await multiply(input.slice().fill(poison, 2 * COLUMNS, 3 * COLUMNS))
      expect(around(poisoned, 2 * OUT, 3 * OUT)).toEqual(around(clean, 2 * OUT, 3 * OUT))
      expect(poisoned.subarray(2 * OUT, 3 * OUT).some(Number.isFinite)).toBe(false)
    }
  })
})

describe.each(['row', 'row-subgroups'] as const)('the matmul %s of a normalised row', (variant) => {
  const [COLUMNS, OUT] = [32, 40]

  it.each(POISONS)('shouldShow %d of its row, and read no other', async (poison) => {
    const device = variant === 'row-subgroups' ? await openBestDevice() : await openDevice()
    const options = { variant, dtype: 'f32', unaligned: false, epilogue: 'residual', normed: true } as const
    const kernel = await new Pipelines(device).matmul(options)
    const shape = { rows: 1, columns: COLUMNS, out: OUT, outputStride: OUT, mostSlices: 1, epsilon: 1e-5 }
    const { constants, grid } = matmulDispatch(MATMULS[variant], 'f32', shape)
    const random = new Random(9)
    const values = (count: number) => Float32Array.from(random.values(count, 1))
    const [input, output] = [values(2 * COLUMNS), values(2 * OUT)]
    const others = [values(OUT * COLUMNS), values(OUT)]
    const norm = [values(COLUMNS), values(COLUMNS)]
    const multiply = (given: Float32Array<ArrayBuffer>) =>
      dispatch(device, kernel, constants, grid, [given, ...others, output, ...norm], 4)
    const clean = await multiply(input)
    expect(clean.every(Number.isFinite)).toBe(true)
    expect(clean.subarray(OUT)).toEqual(output.subarray(OUT))
    // What an earlier run left behind the row.
    expect(await multiply(input.slice().fill(poison, COLUMNS))).toEqual(clean)
    const poisoned = await multiply(input.slice().fill(poison, 3, 4))
    expect(poisoned.subarray(0, OUT).some(Number.isFinite)).toBe(false)
    expect(poisoned.subarray(OUT)).toEqual(output.subarray(OUT))
  })
})

/** Rows of 10 columns, padded with zeros to 32 floats. */
const PADDED = { rows: 5, columns: 10, stride: 32 }

function paddedRows(random: Random, rows: number): Float32Array<ArrayBuffer> {
  const { columns, stride } = PADDED
  const values = random.values(rows * stride, 1)
  return Float32Array.from(values, (value, i) => (i % stride < columns ? value : 0))
}

/** What a poisoned row 2 of `PADDED` makes of it, but for the padding; and that nothing else is touched. */
function expectRow2Alone(poisoned: Float32Array, clean: Float32Array): void {
  const { columns, stride } = PADDED
  expect(clean.every(Number.isFinite)).toBe(true)
  expect(around(poisoned, 2 * stride, 2 * stride + columns)).toEqual(
    around(clean, 2 * stride, 2 * stride + columns),
  )
  expect(poisoned.subarray(2 * stride, 2 * stride + columns).some(Number.isFinite)).toBe(false)
}

describe.each([
  [false, 16],
  [false, 256],
  [true, 16],
  [true, 256],
] as const)('the residual norm, post %s, by %d threads', (post, threads) => {
  const { rows, columns, stride } = PADDED
  const SLICES = 3

  it.each(POISONS)('shouldKeep %d within its row', async (poison) => {
    const device = await openDevice()
    const kernel = await new Pipelines(device).residualNorm(post, threads)
    const random = new Random(10)
    const partials = paddedRows(random, SLICES * rows)
    const hidden = paddedRows(random, rows)
    const [bias, weight, normBias] = [1, 2, 3].map(() => paddedRows(random, 1))
    const constants = [rows, columns, SLICES, stride / 4, f32Bits(1e-5)]
    const add = (sums: Float32Array<ArrayBuffer>, to: Float32Array<ArrayBuffer>) => {
      const bound = [sums, bias, weight, normBias, to, new Float32Array(rows * stride)] as Bound[]
      return dispatch(device, kernel, constants, [rows], bound, post ? 5 : 6)
    }
    const clean = await add(partials, hidden)
    // In one slice of one row, and in the residual stream.
    const at = (rows + 2) * stride + 4
    expectRow2Alone(await add(partials.slice().fill(poison, at, at + 1), hidden), clean)
    expectRow2Alone(await add(partials, hidden.slice().fill(poison, 2 * stride, 2 * stride + 1)), clean)
  })
})

describe('the sum of slices', () => {
  const { rows, columns, stride } = PADDED
  const SLICES = 6

  it.each(POISONS)('shouldKeep %d within its row', async (poison) => {
    const device = await openDevice()
    const kernel = await new Pipelines(device).sum('gelu_tanh')
    const random = new Random(11)
    const partials = paddedRows(random, SLICES * rows)
    const bias = paddedRows(random, 1)
    const grid = [Math.ceil(stride / 4 / SUM_THREADS), rows] as const
    const add = (sums: Float32Array<ArrayBuffer>) => {
      const bound = [sums, bias, new Float32Array(rows * stride)]
      return dispatch(device, kernel, [rows, columns, SLICES, stride / 4], grid, bound, 3)
    }
    const begin = (4 * rows + 2) * stride
    const poisoned = await add(partials.slice().fill(poison, begin, begin + stride))
    expectRow2Alone(poisoned, await add(partials))
  })
})

describe.each([16, 256])('the pooling by %d threads', (threads) => {
  const { columns, stride } = PADDED
  const LENGTHS = [9, 3, 12]

  it.each(['mean', 'last', 'cls'] as const)(
    'shouldKeep NaN and infinity within their sequence: %s',
    async (kind) => {
      const device = await openDevice()
      const kernel = await new Pipelines(device).pool(threads)
      const rows = paddedRows(new Random(12), 24)
      const sequences = new Uint32Array([0, 9, 9, 3, 12, 12])
      const constants = [columns, stride / 4, 0, POOLING_KINDS[kind], 1]
      const pool = (given: Float32Array<ArrayBuffer>) => {
        const bound = [sequences, given, new Float32Array(LENGTHS.length * columns)]
        return dispatch(device, kernel, constants, [LENGTHS.length], bound, 3)
      }
      const clean = await pool(rows)
      expect(clean.every(Number.isFinite)).toBe(true)
      for (const poison of POISONS) {
        const poisoned = await pool(rows.slice().fill(poison, 9 * stride, 12 * stride))
        expect(around(poisoned, columns, 2 * columns)).toEqual(around(clean, columns, 2 * columns))
        expect(poisoned.subarray(columns, 2 * columns).every(Number.isFinite)).toBe(false)
      }
    },
  )
})

describe('the choice among logits', () => {
  it('shouldKeepNaNWithinItsRowAndShowIt', async () => {
    const device = await openDevice()
    const kernel = await new Pipelines(device).top(true)
    const scores = Float32Array.from(new Random(8).values(3 * 128, 1))
    const choose = async (given: Float32Array<ArrayBuffer>) =>
      dispatch(device, kernel, [100, 128, 4, 4, 0], [1, 3], [given, new Float32Array(3 * 4 * 2)], 2)
    const clean = await choose(scores)
    const poisoned = await choose(scores.slice().fill(Number.NaN, 128 + 30, 128 + 31))
    expect(around(poisoned, 8, 16)).toEqual(around(clean, 8, 16))
    expect(poisoned[8]).toBeNaN()
    expect(new Uint32Array(poisoned.buffer)[9]).toBe(30)
  })
})
