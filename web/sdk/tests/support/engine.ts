import type { Dtype, Manifest } from '../../src/client/manifest'
import type { Activations } from '../../src/engine/batch'
import { type EngineOptions, TailEngine } from '../../src/engine/tail-engine'
import { toHalves } from './half'
import type { RandomModel } from './random-model'
import { readShard } from './store'
import { openDevice } from './webgpu'

/** The units of the tail from `cut` on. */
export function tailUnits(manifest: Manifest, cut: number): string[] {
  const layers = Array.from({ length: manifest.layers - cut }, (_, i) => `layer.${cut + i}`)
  const last = ['final', 'lm_head'].filter((unit) => manifest.units.has(unit))
  return [...(cut === 0 ? ['embeddings'] : []), ...layers, ...last]
}

/** An engine that holds every unit of a model of the store. */
export async function loadedEngine(
  manifest: Manifest,
  dtype: Dtype,
  options: { device?: GPUDevice; mostTokens?: number } = {},
): Promise<TailEngine> {
  const { device = await openDevice(), mostTokens = 2_048 } = options
  const engine = new TailEngine(device, manifest, dtype, mostTokens)
  for (const unit of tailUnits(manifest, 0)) {
    const { header, data } = readShard(manifest, unit, dtype)
    const buffers = await engine.allocate(unit, header.tensors, header.dataBytes)
    buffers.write(0, data)
    engine.attach(unit, buffers)
  }
  return engine
}

/** An engine that holds every unit of a random model. */
export async function randomEngine(
  model: RandomModel,
  dtype: Dtype,
  options: EngineOptions & { device?: GPUDevice; mostTokens?: number } = {},
): Promise<TailEngine> {
  const { device = await openDevice(), mostTokens = 2_048, ...others } = options
  const engine = new TailEngine(device, model.manifest, dtype, mostTokens, others)
  for (const [unit, { tensors, data }] of model.units) {
    const buffers = await engine.allocate(unit, tensors, data.byteLength)
    buffers.write(0, data)
    engine.attach(unit, buffers)
  }
  return engine
}

/** Hidden states as a message carries them. */
export function activations(values: Float64Array, dtype: Activations['dtype']): Activations {
  const typed = dtype === 'f16' ? toHalves(values) : Float32Array.from(values)
  return { dtype, bytes: new Uint8Array(typed.buffer) }
}
