import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Dtype } from '../../src/client/manifest'
import type { TailEngine } from '../../src/engine/tail-engine'
import { activations, randomEngine } from '../support/engine'
import { halfToNumber } from '../support/half'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { Reference } from '../support/reference'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu } from '../support/webgpu'

const never = new AbortController().signal
const ACTIVATIONS = ['gelu_tanh', 'gelu_erf', 'relu'] as const

function randomShape(random: Random): Shape {
  const encoder = random.next() > 0
  return {
    heads: random.integer(1, 5),
    headSize: random.integer(4, 30),
    innerSize: random.integer(1, 150),
    vocabularySize: random.integer(2, 300),
    positions: random.integer(70, 130),
    layers: 2,
    activation: ACTIVATIONS[random.integer(0, 2)] ?? 'relu',
    order: encoder ? 'post' : 'pre',
    mask: random.next() > 0.5 === encoder ? 'causal' : 'bidirectional',
    embeddingNorm: encoder,
    final: random.next() > 0,
    ...(encoder ? { types: random.integer(1, 3) } : {}),
  }
}

function randomBatch({ manifest }: RandomModel, random: Random, sequences: number) {
  const lengths = Int32Array.from({ length: sequences }, () => random.integer(1, 40))
  const count = lengths.reduce((sum, length) => sum + length, 0)
  const tokens = Int32Array.from({ length: count }, () => random.integer(0, manifest.vocabularySize - 1))
  return { lengths, tokens }
}

/** The tail at both kinds of cut against the reference. */
async function compare(model: RandomModel, engine: TailEngine, random: Random, dtype: Dtype, sequences = 4) {
  const reference = new Reference(model.manifest, model.weights)
  const batch = randomBatch(model, random, sequences)
  const x = reference.embed(batch.tokens, batch.lengths)
  const { layers } = model.manifest
  const pooled = await engine.run({ ...batch, cut: 0, pooling: 'mean', normalize: true }, never)
  const final = reference.final(reference.layers(0, layers, x, batch.lengths))
  const expected = reference.pool(final, batch.lengths, 'mean', true)
  expect(difference(joined(pooled), joined(expected)), 'cut 0').toBeLessThan(1e-4)
  const hidden = activations(x, dtype === 'f32' ? 'f32' : 'f16')
  const rounded =
    hidden.dtype === 'f16' ? Float64Array.from(new Uint16Array(hidden.bytes.slice().buffer), halfToNumber) : x
  const rows = await engine.run({ ...batch, cut: 1, hidden, pooling: 'none', normalize: false }, never)
  const wanted = reference.final(reference.layers(1, layers, rounded, batch.lengths))
  expect(difference(joined(rows), wanted), 'cut 1').toBeLessThan(1e-4)
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(['f32', 'f16', 'q8', 'q4'] as const)('the tail of a random model in %s', (dtype) => {
  it.each([1, 2, 3])('shouldAgreeWithTheReferenceWhateverTheShape: seed %d', async (seed) => {
    const random = new Random(seed + dtype.charCodeAt(0) + dtype.charCodeAt(1))
    const shape = randomShape(random)
    const model = new RandomModel(shape, dtype, random)
    await compare(model, await randomEngine(model, dtype), random, dtype)
  })

  it.each([
    { heads: 1, headSize: 256 },
    { heads: 1, headSize: 201 },
    { heads: 3, headSize: 67 },
    { heads: 7, headSize: 5 },
    { heads: 2, headSize: 4 },
  ])('shouldAgreeWithTheReferenceForHeadsOfAnySize: $heads x $headSize', async ({ heads, headSize }) => {
    const random = new Random(headSize)
    const shape = { ...randomShape(random), heads, headSize }
    const model = new RandomModel(shape, dtype, random)
    await compare(model, await randomEngine(model, dtype), random, dtype, 2)
  })

  it('shouldAgreeWithTheReferenceWhenABatchTakesSeveralRuns', async () => {
    const random = new Random(11)
    const model = new RandomModel(randomShape(random), dtype, random)
    await compare(model, await randomEngine(model, dtype, { mostTokens: 45 }), random, dtype, 9)
  })

  it('shouldAgreeWithTheReferenceWhenTheTokenTableIsSplitByRows', async () => {
    const random = new Random(12)
    const shape = { ...randomShape(random), heads: 3, headSize: 11, innerSize: 20, vocabularySize: 900 }
    const model = new RandomModel(shape, dtype, random)
    const engine = await randomEngine(model, dtype, { bufferLimit: 25_600 })
    await compare(model, engine, random, dtype)
  })

  it('shouldAgreeWithTheReferenceWhereNoLayerRunsHere', async () => {
    const random = new Random(17)
    const model = new RandomModel({ ...randomShape(random), final: true }, dtype, random)
    const engine = await randomEngine(model, dtype)
    const { layers, hiddenSize } = model.manifest
    const reference = new Reference(model.manifest, model.weights)
    const batch = randomBatch(model, random, 3)
    const x = random.values(batch.tokens.length * hiddenSize, 1)
    const given = { ...batch, cut: layers, hidden: activations(x, 'f32') }
    const pooled = await engine.run({ ...given, pooling: 'mean', normalize: true }, never)
    const expected = reference.pool(reference.final(x), batch.lengths, 'mean', true)
    expect(difference(joined(pooled), joined(expected))).toBeLessThan(1e-4)
    const rows = await engine.run({ ...given, pooling: 'none', normalize: false }, never)
    expect(difference(joined(rows), reference.final(x))).toBeLessThan(1e-4)
  })

  it('shouldKeepBatchesApartThatRunAtOnce', async () => {
    const random = new Random(13)
    const model = new RandomModel(randomShape(random), dtype, random)
    const engine = await randomEngine(model, dtype)
    const batches = [1, 4, 2].map((sequences) => randomBatch(model, random, sequences))
    const run = (batch: (typeof batches)[number]) =>
      engine.run({ ...batch, cut: 0, pooling: 'mean', normalize: true }, never)
    const together = await Promise.all(batches.map(run))
    for (const [i, batch] of batches.entries()) {
      expect(together[i]).toEqual(await run(batch))
    }
  })
})
