import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { canaryInput, pcg32 } from '../../src/engine/canary'
import { loadedEngine, tailUnits } from '../support/engine'
import { readManifest, readShard } from '../support/store'
import { destroyDevices, installWebGpu } from '../support/webgpu'

const vectorsPath = join(import.meta.dirname, '../../../../weights/src/test/resources/vectors/canary.json')
const never = new AbortController().signal

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(['gpt2-sharded-f16', 'bert-mean'])('the canaries of %s', (model) => {
  const manifest = readManifest(model)

  it.each(['f32', 'f16', 'q8', 'q4'] as const)('shouldPassOnARightDeviceIn %s', async (dtype) => {
    const engine = await loadedEngine(manifest, dtype)
    for (const unit of tailUnits(manifest, 0)) {
      expect(manifest.units.get(unit)?.get(dtype)?.canary, unit).toBeDefined()
      await engine.check(unit, never)
    }
  })

  it('shouldFailWhereWeightsAreNotTheManifests', async () => {
    const dtype = 'f16'
    const engine = await loadedEngine(manifest, dtype)
    const { header, data } = readShard(manifest, 'layer.1', dtype)
    const wrong = data.slice()
    const tensor = header.tensors.find(({ name }) => name === 'mlp.down.weight')
    wrong.fill(0, tensor?.offset, (tensor?.offset ?? 0) + 256)
    const buffers = await engine.allocate('layer.1', header.tensors, header.dataBytes)
    buffers.write(0, wrong)
    engine.attach('layer.1', buffers)
    await expect(engine.check('layer.1', never)).rejects.toMatchObject({ code: 'canary_failed' })
    await engine.check('layer.0', never)
  })

  it('shouldFailWhereTheDeviceComputesNothing', async () => {
    const engine = await loadedEngine(manifest, 'f32')
    const { header } = readShard(manifest, 'layer.0', 'f32')
    engine.attach('layer.0', await engine.allocate('layer.0', header.tensors, header.dataBytes))
    await expect(engine.check('layer.0', never)).rejects.toMatchObject({ code: 'canary_failed' })
  })
})

describe('the input of a canary', () => {
  const vectors = JSON.parse(readFileSync(vectorsPath, 'utf8')) as {
    pcg32: [number, number][]
    rows: { seed: number; scale: number; bits: string[] }[]
  }

  it.each(vectors.pcg32)('shouldHash %d as the sharder does', (n, hash) => {
    expect(pcg32(n)).toBe(hash)
  })

  it.each(vectors.rows)('shouldBeTheShardersBitForBit: seed $seed, scale $scale', ({ seed, scale, bits }) => {
    const manifest = { ...readManifest('bert-mean'), hiddenSize: bits.length }
    const canary = { seed, scale: Math.fround(scale), mean: 0, norm: 0, elements: [] }
    const words = new Uint32Array(canaryInput(canary, manifest).buffer, 0, bits.length)
    expect(Array.from(words, (word) => word.toString(16).padStart(8, '0'))).toEqual(bits)
  })
})
