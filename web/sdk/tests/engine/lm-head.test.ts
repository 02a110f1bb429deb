import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TopTokens } from '../../src/engine/session'
import type { TailEngine } from '../../src/engine/tail-engine'
import { MATMULS, type MatmulName } from '../../src/engine/variants'
import { activations, loadedEngine, randomEngine } from '../support/engine'
import { Fixture } from '../support/fixtures'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { Reference } from '../support/reference'
import { readManifest } from '../support/store'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu, openBestDevice, openDevice } from '../support/webgpu'

const never = new AbortController().signal
const DTYPES = ['f32', 'f16', 'q8', 'q4'] as const

/** A model without layers that matter: a session at its last cut gives the logits of the rows that it is given. */
function outputs(shape: Partial<Shape>): Shape {
  return {
    heads: 1,
    headSize: 24,
    innerSize: 4,
    vocabularySize: 500,
    positions: 40,
    layers: 1,
    activation: 'relu',
    final: false,
    lmHead: true,
    ...shape,
  }
}

function step(hidden: Float64Array, rows: number, extra: { rows?: Int32Array } = {}) {
  return {
    tokens: new Int32Array(rows),
    lengths: Int32Array.of(rows),
    hidden: activations(hidden, 'f32'),
    rows: Int32Array.from({ length: rows }, (_, row) => row),
    ...extra,
  }
}

/** The first `k` of all tokens, by logit and then by id. */
function best(logits: ArrayLike<number>, k: number): number[] {
  const order = Array.from({ length: logits.length }, (_, id) => id)
  return order.sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b).slice(0, k)
}

/** Logits and top-k of the same rows against the reference, and against each other. */
async function compare(engine: TailEngine, model: RandomModel, random: Random, rows: number, k: number) {
  const { hiddenSize, layers, vocabularySize } = model.manifest
  const hidden = random.values(rows * hiddenSize, 1)
  const session = await engine.session(layers, 1, never)
  const logits = await session.logits(step(hidden, rows), never)
  const expected = new Reference(model.manifest, model.weights).logits(hidden)
  expect(difference(joined(logits), expected)).toBeLessThan(1e-4)
  const top = await session.top(step(hidden, rows), k, never)
  expect(top).toHaveLength(rows)
  for (const [r, { ids, logits: values }] of top.entries()) {
    const row = logits[r] ?? new Float32Array()
    expect(Array.from(ids), `row ${r}`).toEqual(best(row, k))
    expect(Array.from(values)).toEqual(Array.from(ids, (id) => row[id]))
    // The reference agrees but for logits that are the same to rounding.
    const exact = expected.subarray(r * vocabularySize, (r + 1) * vocabularySize)
    const wanted = best(exact, k).map((id) => exact[id] ?? Number.NaN)
    expect(difference(values, wanted)).toBeLessThan(1e-4)
  }
  session.close()
}

/** One device for all: what it has compiled for one engine it need not for the next. */
let device: GPUDevice

beforeAll(async () => {
  installWebGpu()
  device = await openDevice()
})
afterAll(destroyDevices)

describe.each(DTYPES)('lm_head in %s', (dtype) => {
  it.each([1, 2, 3])('shouldAgreeWithTheReferenceWhateverTheShape: seed %d', async (seed) => {
    const random = new Random(1_000 * seed + dtype.charCodeAt(1))
    const vocabularySize = [random.integer(2, 60), random.integer(900, 1_200), random.integer(2_000, 5_000)]
    const shape = outputs({
      headSize: random.integer(4, 100),
      vocabularySize: vocabularySize[seed - 1] ?? 0,
    })
    const model = new RandomModel(shape, dtype, random)
    const engine = await randomEngine(model, dtype, { device })
    const most = Math.min(64, shape.vocabularySize)
    await compare(engine, model, random, 1, 1)
    await compare(engine, model, random, random.integer(2, 9), random.integer(1, most))
    await compare(engine, model, random, 2, most)
  })

  it('shouldAgreeWithTheReferenceInPiecesOfTheMatrix', async () => {
    const random = new Random(7)
    const model = new RandomModel(outputs({ headSize: 37, vocabularySize: 1_031 }), dtype, random)
    const bufferLimit = 32_768
    const engine = await randomEngine(model, dtype, { device, bufferLimit })
    const unit = model.units.get('lm_head')
    const buffers = await engine.allocate('lm_head', unit?.tensors ?? [], unit?.data.byteLength ?? 0)
    const pieces = buffers.pieces('weight')
    expect(pieces.length).toBeGreaterThan(1)
    expect(Math.max(...pieces.map(({ binding }) => binding.size ?? 0))).toBeLessThanOrEqual(bufferLimit)
    if (dtype === 'q8' || dtype === 'q4') {
      const rows = buffers.pieces('weight.scales').map(({ firstRow, rows }) => [firstRow, rows])
      expect(rows).toEqual(pieces.map(({ firstRow, rows }) => [firstRow, rows]))
    }
    buffers.destroy()
    await compare(engine, model, random, 3, 20)
  })

  it('shouldAgreeWithTheReferenceInSeveralRoundsOfRows', async () => {
    const random = new Random(8)
    const model = new RandomModel(outputs({ vocabularySize: 101, positions: 300 }), dtype, random)
    const engine = await randomEngine(model, dtype, { device })
    await compare(engine, model, random, 150, 5)
  })
})

describe.each(Object.keys(MATMULS) as MatmulName[])('lm_head with the matmul %s', (matmul) => {
  it('shouldAgreeWithTheReference', async () => {
    const random = new Random(9)
    const model = new RandomModel(outputs({ headSize: 45, vocabularySize: 301 }), 'f16', random)
    const best = /deep|subgroups/.test(matmul) ? await openBestDevice() : device
    const options = { device: best, forced: { matmul }, bufferLimit: 32_768 }
    const engine = await randomEngine(model, 'f16', options)
    await compare(engine, model, random, 5, 3)
  })
})

describe('the choice among logits', () => {
  /** One row whose logits are these. */
  async function choose(values: readonly number[], k: number): Promise<TopTokens | undefined> {
    const headSize = 4
    const lmHead = Float64Array.from({ length: values.length * headSize }, (_, i) =>
      i % headSize === 0 ? (values[i / headSize] ?? 0) : 0,
    )
    const shape = outputs({ headSize, vocabularySize: values.length, lmHead })
    const model = new RandomModel(shape, 'f32', new Random(1))
    const engine = await randomEngine(model, 'f32', { device })
    const session = await engine.session(1, 1, never)
    const [top] = await session.top(step(Float64Array.of(1, 0, 0, 0), 1), k, never)
    return top
  }

  it.each([1, 64])('shouldPreferTheLowestIdAmongEqualOnes: k = %d', async (k) => {
    // Equal ones within a run that is sorted at once, and in several.
    const values = Array.from({ length: 3_100 }, (_, i) => (i % 1_000 >= 990 ? 2 : (i % 7) - 9))
    const top = await choose(values, k)
    expect(Array.from(top?.ids ?? [])).toEqual(best(values, k))
  })

  it('shouldTakeBothZerosAsEqual', async () => {
    const top = await choose([-1, -0, 0, -0, -2], 4)
    expect(Array.from(top?.ids ?? [])).toEqual([1, 2, 3, 0])
  })

  it('shouldOrderNegativeLogits', async () => {
    const top = await choose([-3e38, -1e-30, -5, -4.5], 4)
    expect(Array.from(top?.ids ?? [])).toEqual([1, 3, 2, 0])
  })

  it.each([511, 512, 513, 1_024, 1_025])('shouldFindTheLastOf %d', async (count) => {
    const values = Array.from({ length: count }, (_, i) => i / count)
    const top = await choose(values, 3)
    expect(Array.from(top?.ids ?? [])).toEqual([count - 1, count - 2, count - 3])
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('shouldRefuseARowOfWhichOneLogitIs %d', async (wrong) => {
    const values = Array.from({ length: 1_500 }, (_, i) => (i === 1_234 ? wrong : 1))
    await expect(choose(values, 5)).rejects.toMatchObject({ code: 'wrong_result' })
  })

  it.each([0, 65, 1.5, Number.NaN])('shouldRefuse %d of them', async (k) => {
    const values = Array.from({ length: 100 }, (_, i) => i)
    await expect(choose(values, k)).rejects.toMatchObject({ code: 'invalid_argument' })
  })

  it('shouldRefuseMoreThanThereAreTokens', async () => {
    await expect(choose([1, 2, 3], 4)).rejects.toMatchObject({ code: 'invalid_argument' })
  })
})

describe('a model without an output matrix', () => {
  it('shouldRefuseLogits', async () => {
    const model = new RandomModel(outputs({ lmHead: false }), 'f32', new Random(2))
    const engine = await randomEngine(model, 'f32', { device })
    const session = await engine.session(1, 1, never)
    await expect(session.top(step(new Float64Array(24), 1), 1, never)).rejects.toMatchObject({
      code: 'invalid_argument',
    })
  })
})

describe.each(['gpt2-plain', 'gpt2-sharded-f16', 'gpt2-hub-names-bf16'])('the next token of %s', (model) => {
  const fixture = new Fixture(model)
  const { tokens, lengths } = fixture
  const manifest = readManifest(model)

  it.each([
    ['f32', 1e-4],
    ['f16', 2e-3],
  ] as const)('shouldHaveTheLogitsOfTransformersIn %s', async (dtype, tolerance) => {
    const engine = await loadedEngine(manifest, dtype, { device })
    for (const cut of [0, manifest.layers - 1, manifest.layers]) {
      const session = await engine.session(cut, lengths.length, never)
      const hidden = { hidden: activations(fixture.tensor(`hidden.${cut}`), 'f32') }
      const logits = await session.logits({ tokens, lengths, ...(cut === 0 ? {} : hidden) }, never)
      expect(difference(joined(logits), fixture.tensor('logits_last')), `cut ${cut}`).toBeLessThan(tolerance)
      session.close()
    }
  })

  it('shouldBeTheOneThatTransformersDecodes', async () => {
    const engine = await loadedEngine(manifest, 'f32', { device })
    const ends = [...lengths.keys()].map((i) => lengths.slice(0, i + 1).reduce((sum, n) => sum + n, 0))
    const room = [...lengths.keys()].filter((i) => (lengths[i] ?? 0) + 12 <= manifest.maxTokens)
    const count = room.length
    const session = await engine.session(0, count, never)
    let next = {
      tokens: Int32Array.from(room.flatMap((i) => Array.from(tokens.subarray(ends[i - 1] ?? 0, ends[i])))),
      lengths: Int32Array.from(room, (i) => lengths[i] ?? 0),
    }
    const decoded: number[][] = Array.from({ length: count }, () => [])
    for (let i = 0; i < 12; i++) {
      const top = await session.top(next, 1, never)
      const ids = Int32Array.from(top, ({ ids }) => ids[0] ?? -1)
      for (const [s, id] of ids.entries()) {
        decoded[s]?.push(id)
      }
      next = { tokens: ids, lengths: new Int32Array(count).fill(1) }
    }
    expect(decoded.flat()).toEqual(Array.from(fixture.tensor('greedy')))
  })
})

describe('the next tokens of bookworm', () => {
  const path = join(import.meta.dirname, '../../../../fixtures/bookworm/greedy.json')
  const prompts = JSON.parse(readFileSync(path, 'utf8')) as {
    tokens: number[]
    greedy: number[]
    smallest_margin: number
  }[]

  it.each(['f32', 'f16'] as const)(
    'shouldBeThoseThatTransformersDecodesIn %s',
    async (dtype) => {
      const engine = await loadedEngine(readManifest('bookworm'), dtype, { device })
      // Only where f32 itself is sure: the margin between the two best logits.
      const chosen = prompts.filter(
        ({ smallest_margin, greedy }) => smallest_margin > 0.02 && greedy.length > 8,
      )
      const batch = chosen.slice(0, 4)
      const session = await engine.session(0, batch.length, never)
      let next = {
        tokens: Int32Array.from(batch.flatMap(({ tokens }) => tokens)),
        lengths: Int32Array.from(batch, ({ tokens }) => tokens.length),
      }
      for (let i = 0; i < 8; i++) {
        const top = await session.top(next, 4, never)
        const ids = Int32Array.from(top, ({ ids }) => ids[0] ?? -1)
        expect(Array.from(ids), `token ${i}`).toEqual(batch.map(({ greedy }) => greedy[i]))
        next = { tokens: ids, lengths: new Int32Array(batch.length).fill(1) }
      }
    },
    240_000,
  )
})
