import { describe, expect, it } from 'vitest'
import { Units } from '../../src/client/units'
import { readManifest } from '../support/store'

const manifest = readManifest('gpt2-plain')

function loaded(...names: string[]): Units {
  const units = new Units(manifest, 'f32')
  for (const name of names) {
    units.update(units.order.indexOf(name), { state: 'loaded' })
  }
  return units
}

describe('the units of a model of three layers', () => {
  it('shouldLoadFromTheLastLayerDown', () => {
    expect(loaded().order).toEqual(['final', 'layer.2', 'layer.1', 'layer.0', 'embeddings'])
  })

  it.each([
    { names: [], cut: 3 },
    { names: ['layer.2', 'layer.1'], cut: 3 },
    { names: ['final'], cut: 3 },
    { names: ['final', 'layer.1'], cut: 3 },
    { names: ['final', 'layer.2'], cut: 2 },
    { names: ['final', 'layer.2', 'layer.0', 'embeddings'], cut: 2 },
    { names: ['final', 'layer.2', 'layer.1', 'layer.0'], cut: 1 },
    { names: ['final', 'layer.2', 'layer.1', 'layer.0', 'embeddings'], cut: 0 },
  ])('shouldAllowTheCutFromWhichOnAllAreThere: $names', ({ names, cut }) => {
    expect(loaded(...names).cut).toBe(cut)
  })

  it('shouldBeProvedOnceTheirBytesAreHere', () => {
    const units = loaded()
    const total = units.all[0]?.total ?? 0
    units.update(0, { state: 'loading' })
    units.count(0, total - 1)
    expect(units.proving).toBe(false)
    units.count(0, 1)
    expect(units.proving).toBe(true)
    units.update(0, { state: 'loaded' })
    expect(units.proving).toBe(false)
    units.reset()
    expect(units.all[0]).toEqual({ name: 'final', state: 'waiting', loaded: 0, total })
  })
})
