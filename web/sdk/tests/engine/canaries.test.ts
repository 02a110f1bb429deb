import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Canary, Manifest } from '../../src/client/manifest'
import { canaryInput, pcg32 } from '../../src/engine/canary'
import { TailEngine } from '../../src/engine/tail-engine'
import { readSafetensorsHeader } from '../../src/shards/safetensors'
import { loadedEngine, tailUnits } from '../support/engine'
import { spoil } from '../support/spoilt-device'
import { readManifest, readShard } from '../support/store'
import { destroyDevices, installWebGpu, openDevice } from '../support/webgpu'

const vectorsPath = join(import.meta.dirname, '../../../../weights/src/test/resources/vectors/canary.json')
const never = new AbortController().signal

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(['gpt2-sharded-f16', 'bert-mean'])('the canaries of %s', (model) => {
  const manifest = readManifest(model)
  let device: GPUDevice

  beforeAll(async () => {
    device = await openDevice()
  })

  it.each(['f32', 'f16', 'q8', 'q4'] as const)('shouldPassOnARightDeviceIn %s', async (dtype) => {
    const engine = await loadedEngine(manifest, dtype, { device })
    for (const unit of tailUnits(manifest, 0)) {
      expect(manifest.units.get(unit)?.get(dtype)?.canary, unit).toBeDefined()
      await engine.check(unit, never)
    }
  })

  it('shouldFailWhereWeightsAreNotTheManifests', async () => {
    const dtype = 'f16'
    const engine = await loadedEngine(manifest, dtype, { device })
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
    const engine = await loadedEngine(manifest, 'f32', { device })
    const { header } = readShard(manifest, 'layer.0', 'f32')
    engine.attach('layer.0', await engine.allocate('layer.0', header.tensors, header.dataBytes))
    await expect(engine.check('layer.0', never)).rejects.toMatchObject({ code: 'canary_failed' })
  })
})

describe('the output matrix', () => {
  const manifest = readManifest('gpt2-plain')

  it('shouldFailItsCanaryWhereOnePieceIsWrong', async () => {
    const engine = await loadedEngine(manifest, 'f16')
    const { header, data } = readShard(manifest, 'lm_head', 'f16')
    const buffers = await engine.allocate('lm_head', header.tensors, header.dataBytes)
    // The rows of a few tokens in the middle, none of which is an element of the canary.
    buffers.write(0, data.slice().fill(0, 130 * 128, 140 * 128))
    engine.attach('lm_head', buffers)
    await expect(engine.check('lm_head', never)).rejects.toMatchObject({ code: 'canary_failed' })
  })

  it('shouldFailItsCanaryWhereTheDeviceFindsAnotherToken', async () => {
    const device = await openDevice()
    spoil(device, /^top/, (code) =>
      code.replace('ids[a] < ids[b]', 'ids[a] > ids[b]').replace('keys[a] > keys[b]', 'keys[a] < keys[b]'),
    )
    const engine = await loadedEngine(manifest, 'f32', { device })
    await expect(engine.check('lm_head', never)).rejects.toMatchObject({ code: 'canary_failed' })
  })
})

const vectors = JSON.parse(readFileSync(vectorsPath, 'utf8')) as {
  pcg32: [number, number][]
  rows: { seed: number; scale: number; bits: string[] }[]
  models: (Pick<
    Manifest,
    'vocabularySize' | 'hiddenSize' | 'maxTokens' | 'embeddings' | 'layer' | 'final'
  > & {
    name: string
    units: { name: string; variants: { dtype: string; base64: string; canary: Canary }[] }[]
  })[]
}

// The shards and canaries that the sharder's own tests compare with, computed in numpy.
describe.each(vectors.models)('the canaries of the $name', (model) => {
  let device: GPUDevice

  beforeAll(async () => {
    device = await openDevice()
  })

  it.each(['f32', 'f16', 'q8', 'q4'] as const)('shouldPassIn %s', async (dtype) => {
    const variants = model.units.map(({ name, variants }) => ({
      name,
      ...(variants.find((variant) => variant.dtype === dtype) ?? { base64: '', canary: undefined }),
    }))
    const units = variants.map(({ name, canary }) => {
      const shard = { sha256: '', bytes: 0, parts: [], ...(canary === undefined ? {} : { canary }) }
      return [name, new Map([[dtype, shard]])] as const
    })
    const manifest: Manifest = {
      ...model,
      model: model.name,
      layers: 1,
      pooling: { kind: 'mean', normalize: true },
      dtypes: [dtype],
      units: new Map(units),
    }
    const engine = new TailEngine(device, manifest, dtype, 64)
    for (const { name, base64 } of variants) {
      const bytes = new Uint8Array(Buffer.from(base64, 'base64'))
      const header = readSafetensorsHeader(bytes, bytes.byteLength, 'invalid_shard', name)
      const buffers = await engine.allocate(name, header.tensors, header.dataBytes)
      buffers.write(0, bytes.slice(header.dataOffset))
      engine.attach(name, buffers)
      await engine.check(name, never)
    }
  })
})

describe('the input of a canary', () => {
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
