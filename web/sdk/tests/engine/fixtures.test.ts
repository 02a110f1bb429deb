import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { activations, loadedEngine } from '../support/engine'
import { Fixture } from '../support/fixtures'
import { halfToNumber } from '../support/half'
import { Reference, shardWeights } from '../support/reference'
import { readManifest } from '../support/store'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu } from '../support/webgpu'

const MODELS = [
  'gpt2-plain',
  'gpt2-hub-names-bf16',
  'gpt2-sharded-f16',
  'gpt2-inner-relu-scaled',
  'gpt2-large-activations',
  'bert-mean',
  'bert-cls-f16-prefixed',
]
const TOLERANCE = { f32: 1e-4, f16: 2e-3 }
const never = new AbortController().signal

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(MODELS)('the tail of %s', (model) => {
  const fixture = new Fixture(model)
  const { tokens, lengths } = fixture

  describe.each(['f32', 'f16'] as const)('in %s', (dtype) => {
    // Rounding the weights of this model moves its results by 3e-2, so in f16 it is compared with the same rounding.
    const rounded = model === 'gpt2-large-activations' && dtype === 'f16'

    it('shouldAgreeWithTransformersAtEveryCut', async () => {
      const manifest = readManifest(model)
      const engine = await loadedEngine(manifest, dtype)
      const reference = new Reference(manifest, shardWeights(manifest, dtype))
      for (let cut = 0; cut < manifest.layers; cut++) {
        const sent = activations(fixture.tensor(`hidden.${cut}`), dtype)
        const batch = { cut, tokens, lengths, ...(cut > 0 ? { hidden: sent } : {}), normalize: false }
        const final = joined(await engine.run({ ...batch, pooling: 'none' }, never))
        let expected = fixture.tensor(manifest.final === undefined ? `hidden.${manifest.layers}` : 'final')
        if (rounded) {
          const input =
            cut === 0
              ? reference.embed(tokens, lengths)
              : Float64Array.from(new Uint16Array(sent.bytes.slice().buffer), halfToNumber)
          expected = reference.final(reference.layers(cut, manifest.layers, input, lengths))
        }
        const tolerance = rounded ? 1e-4 : TOLERANCE[dtype]
        expect(difference(final, expected), `final at cut ${cut}`).toBeLessThan(tolerance)
        if (manifest.final === undefined) {
          const { kind, normalize } = manifest.pooling
          const embedding = joined(await engine.run({ ...batch, pooling: kind, normalize }, never))
          expect(difference(embedding, fixture.tensor('embedding')), `at cut ${cut}`).toBeLessThan(tolerance)
          continue
        }
        for (const pooling of ['mean', 'last', 'cls'] as const) {
          const pooled = joined(await engine.run({ ...batch, pooling }, never))
          const wanted = rounded
            ? joined(reference.pool(expected, lengths, pooling, false))
            : fixture.tensor(`pooled.${pooling}`)
          expect(difference(pooled, wanted), `${pooling} at cut ${cut}`).toBeLessThan(tolerance)
        }
      }
      engine.destroy()
    })
  })
})
