import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { matmulDispatch } from '../../src/engine/matmul-dispatch'
import { type Kernel, Pipelines, UNIFORM_SLOT } from '../../src/engine/pipelines'
import { f32Bits, type Grid } from '../../src/engine/recording'
import { type AttentionVariant, MATMULS, type MatmulName } from '../../src/engine/variants'
import { Random } from '../support/random-model'
import { destroyDevices, installWebGpu, openBestDevice, openDevice } from '../support/webgpu'

const HEAD_SIZE = 12
const POISONS = [Number.NaN, Number.POSITIVE_INFINITY]

type Bound = Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>

/** Dispatches a kernel once, and gives what is then in the binding `output`. */
async function dispatch(
  device: GPUDevice,
  kernel: Kernel,
  constants: readonly number[],
  grid: Grid,
  bound: readonly Bound[],
  output: number,
): Promise<Float32Array> {
  const buffer = (data: Bound, usage: number) => {
    const created = device.createBuffer({ size: Math.max(UNIFORM_SLOT, data.byteLength), usage })
    device.queue.writeBuffer(created, 0, data)
    return created
  }
  const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
  const uniforms = buffer(new Uint32Array(constants), GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST)
  const buffers = [uniforms, ...bound.map((data) => buffer(data, storage))]
  const bytes = bound[output - 1]?.byteLength ?? 0
  const readback = buffer(new Float32Array(bytes / 4), GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST)
  const entries = buffers.map((each, binding) => ({
    binding,
    resource: { buffer: each, ...(binding === 0 ? { size: UNIFORM_SLOT } : {}) },
  }))
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(kernel.pipeline)
  pass.setBindGroup(0, device.createBindGroup({ layout: kernel.layout, entries }), [0])
  pass.dispatchWorkgroups(...grid)
  pass.end()
  encoder.copyBufferToBuffer(buffers[output] as GPUBuffer, 0, readback, 0, bytes)
  device.queue.submit([encoder.finish()])
  await readback.mapAsync(GPUMapMode.READ, 0, bytes)
  return new Float32Array(readback.getMappedRange(0, bytes).slice(0))
}

/** Values without those from `begin` to `end`. */
function around(values: Float32Array, begin: number, end: number): number[] {
  return [...values.subarray(0, begin), ...values.subarray(end)]
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each([{ kind: 'plain' }, { kind: 'tile', queries: 16, keys: 16, rows: 1 }] as const)(
  'attention that is $kind',
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

    it.each(POISONS)('shouldKeep %d within its sequence', async (poison) => {
      const device = await openDevice()
      const qkv = Float32Array.from(new Random(5).values(TOKENS * 3 * HEAD_SIZE, 1))
      const clean = await attend(device, qkv)
      const poisoned = await attend(
        device,
        qkv.slice().fill(poison, POISONED * 3 * HEAD_SIZE, END * 3 * HEAD_SIZE),
      )
      const [begin, end] = [POISONED * HEAD_SIZE, END * HEAD_SIZE]
      expect(around(poisoned, begin, end)).toEqual(around(clean, begin, end))
      expect(poisoned.subarray(begin, end).some(Number.isFinite)).toBe(false)
    })
  },
)

describe.each<AttentionVariant>([
  { kind: 'split' },
  { kind: 'plain' },
  { kind: 'tile', queries: 4, keys: 8, rows: 1 },
])('attention on a cache that is $kind', (variant) => {
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

  it.each(POISONS)('shouldKeep %d within its sequence, and read nothing behind its end', async (poison) => {
    const device = await openDevice()
    const random = new Random(6)
    const qkv = Float32Array.from(random.values(3 * 3 * HEAD_SIZE, 1))
    const cache = Float32Array.from(random.values(3 * CAPACITY * ROW, 1))
    const clean = await attend(device, qkv, cache)
    expect(clean.every(Number.isFinite)).toBe(true)
    const wrongQkv = qkv.slice().fill(poison, 3 * HEAD_SIZE, 6 * HEAD_SIZE)
    const wrongCache = cache
      .slice()
      .fill(poison, CAPACITY * ROW, 2 * CAPACITY * ROW)
      .fill(poison, 70 * ROW, CAPACITY * ROW)
      .fill(poison, (2 * CAPACITY + 5) * ROW)
    const poisoned = await attend(device, wrongQkv, wrongCache)
    expect(around(poisoned, HEAD_SIZE, 2 * HEAD_SIZE)).toEqual(around(clean, HEAD_SIZE, 2 * HEAD_SIZE))
    expect(poisoned.subarray(HEAD_SIZE, 2 * HEAD_SIZE).some(Number.isFinite)).toBe(false)
  })
})

describe.each(Object.keys(MATMULS) as MatmulName[])('the matmul %s', (variant) => {
  const [ROWS, COLUMNS, OUT] = [5, 32, 40]

  it.each(POISONS)('shouldKeep %d within its row', async (poison) => {
    const device = /deep|subgroups/.test(variant) ? await openBestDevice() : await openDevice()
    const options = { variant, dtype: 'f32', unaligned: false, epilogue: undefined } as const
    const kernel = await new Pipelines(device).matmul(options)
    const { constants, grid } = matmulDispatch(MATMULS[variant], 'f32', {
      rows: ROWS,
      columns: COLUMNS,
      out: OUT,
      outputStride: OUT,
      firstColumn: 0,
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
    const poisoned = await multiply(input.slice().fill(poison, 2 * COLUMNS, 3 * COLUMNS))
    expect(around(poisoned, 2 * OUT, 3 * OUT)).toEqual(around(clean, 2 * OUT, 3 * OUT))
    expect(poisoned.subarray(2 * OUT, 3 * OUT).some(Number.isFinite)).toBe(false)
  })
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
