import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TailEngine } from '../../src/engine/tail-engine'
import { activations, loadedEngine } from '../support/engine'
import { Fixture } from '../support/fixtures'
import { halfToNumber } from '../support/half'
import { Reference, shardWeights } from '../support/reference'
import { readManifest } from '../support/store'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu } from '../support/webgpu'

const TOLERANCE = { f32: 1e-4, f16: 2e-3 }
const never = new AbortController().signal

/** The first sequences of the fixture: a software GPU takes seconds for all of them. */
function first(fixture: Fixture, sequences: number) {
  const lengths = fixture.lengths.slice(0, sequences)
  const count = lengths.reduce((sum, length) => sum + length, 0)
  return { lengths, count, tokens: fixture.tokens.slice(0, count) }
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(['f32', 'f16'] as const)('the tail of bookworm in %s', (dtype) => {
  const fixture = new Fixture('bookworm')
  const manifest = readManifest('bookworm')
  const reference = new Reference(manifest, shardWeights(manifest, dtype))
  const cuts = Array.from({ length: manifest.layers }, (_, cut) => cut)
  let engine: TailEngine

  beforeAll(async () => {
    engine = await loadedEngine(manifest, dtype)
  })

  it.each(cuts)('shouldAgreeWithTransformersAtCut %d', async (cut) => {
    // The activations are taken as they are, in f32: rounding them to f16 alone moves this model's results by up to
    // 2.8e-3, as the f64 reference shows too.
    const { lengths, count, tokens } = first(fixture, 4)
    const hidden = cut === 0 ? {} : { hidden: activations(fixture.rows(`hidden.${cut}`, count), 'f32') }
    const final = await engine.run(
      { cut, tokens, lengths, ...hidden, pooling: 'none', normalize: false },
      never,
    )
    expect(difference(joined(final), fixture.rows('final', count))).toBeLessThan(TOLERANCE[dtype])
  })

  it.each(cuts)('shouldPoolAsTransformersDoAtCut %d', async (cut) => {
    const { lengths, count, tokens } = first(fixture, 3)
    const hidden = cut === 0 ? {} : { hidden: activations(fixture.rows(`hidden.${cut}`, count), 'f32') }
    for (const pooling of ['mean', 'last', 'cls'] as const) {
      const pooled = await engine.run({ cut, tokens, lengths, ...hidden, pooling, normalize: true }, never)
      const expected = reference.pool(fixture.rows('final', count), lengths, pooling, true)
      expect(difference(joined(pooled), joined(expected)), pooling).toBeLessThan(TOLERANCE[dtype])
    }
  })

  it('shouldAgreeWithTransformersOnAWholeBatch', async () => {
    const { tokens, lengths } = fixture
    const hidden = activations(fixture.tensor('hidden.7'), 'f32')
    const final = await engine.run(
      { cut: 7, tokens, lengths, hidden, pooling: 'none', normalize: false },
      never,
    )
    expect(difference(joined(final), fixture.tensor('final'))).toBeLessThan(TOLERANCE[dtype])
  })

  it.each(cuts.slice(1))('shouldComputeWhatActivationsInF16ComeToAtCut %d', async (cut) => {
    const { lengths, count, tokens } = first(fixture, 3)
    const hidden = activations(fixture.rows(`hidden.${cut}`, count), 'f16')
    const input = Float64Array.from(new Uint16Array(hidden.bytes.slice().buffer), halfToNumber)
    const expected = reference.final(reference.layers(cut, manifest.layers, input, lengths))
    const final = await engine.run({ cut, tokens, lengths, hidden, pooling: 'none', normalize: false }, never)
    expect(difference(joined(final), expected)).toBeLessThan(1e-4)
  })
})
