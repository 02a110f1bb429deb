import { describe, expect, it } from 'vitest'
import { Fixture } from '../support/fixtures'
import { Reference, shardWeights } from '../support/reference'
import { readManifest } from '../support/store'
import { difference, joined } from '../support/tensors'

describe.each([
  'gpt2-plain',
  'gpt2-hub-names-bf16',
  'gpt2-sharded-f16',
  'gpt2-inner-relu-scaled',
  'gpt2-large-activations',
])('the f64 reference on %s', (model) => {
  const fixture = new Fixture(model)
  const { tokens, lengths } = fixture
  const manifest = readManifest(model)
  const reference = new Reference(manifest, shardWeights(manifest, 'f32'))

  it('shouldAgreeWithTransformersLayerByLayer', () => {
    expect(difference(reference.embed(tokens, lengths), fixture.tensor('hidden.0'))).toBeLessThan(1e-6)
    for (let k = 0; k < manifest.layers; k++) {
      const output = reference.layers(k, k + 1, fixture.tensor(`hidden.${k}`), lengths)
      expect(difference(output, fixture.tensor(`hidden.${k + 1}`)), `layer ${k}`).toBeLessThan(1e-5)
    }
  })

  it.each(['mean', 'last', 'cls'] as const)('shouldAgreeWithTransformersOnPooling: %s', (kind) => {
    const final = reference.final(fixture.tensor(`hidden.${manifest.layers}`))
    expect(difference(final, fixture.tensor('final'))).toBeLessThan(1e-5)
    const pooled = joined(reference.pool(final, lengths, kind, false))
    expect(difference(pooled, fixture.tensor(`pooled.${kind}`))).toBeLessThan(1e-5)
  })
})
