import type { Manifest } from '../../../src/client/manifest'
import type { TailBatch } from '../../../src/engine/batch'
import { requestDevice } from '../../../src/engine/gpu'
import { TailEngine } from '../../../src/engine/tail-engine'
import { MOST_TOKENS } from '../../../src/engine/workspace'
import { randomFloats } from '../random-data'
import { DISTINCT_LAYERS, DTYPES } from '../shapes'
import type { Engine, LoadedModel, Passes } from './engine'
import { inFlight } from './flight'
import { describeModel, layersACall, randomUnits } from './random-model'
import { loadDecode } from './splitcompute-decode'
import { loadLmHead } from './splitcompute-lm-head'

export const splitcompute: Engine = {
  name: 'splitcompute',
  dtypes: DTYPES,
  works: ['layers', 'decode', 'lm_head'],
  lacks: () => undefined,
  load: async (shape, dtype) => {
    const load = { layers: loadLayers, decode: loadDecode, lm_head: loadLmHead }
    return load[shape.work](shape, dtype)
  },
}

const loadLayers: Engine['load'] = async (shape, dtype): Promise<LoadedModel> => {
  const device = await requestDevice()
  const manifest = describeModel(shape, dtype, layersACall(device))
  const engine = new TailEngine(device, manifest, dtype, MOST_TOKENS)
  const units = await randomUnits(engine.allocate.bind(engine), manifest, dtype)
  for (const [name, buffers] of units) {
    engine.attach(name, buffers)
  }
  return {
    enter: async (tokens) => passes(engine, manifest, tokens),
    close: async () => engine.destroy(),
  }
}

function passes(engine: TailEngine, manifest: Manifest, tokens: number): Passes {
  const hidden = new Uint8Array(randomFloats(tokens * manifest.hiddenSize, 1).buffer)
  const { signal } = new AbortController()
  const run = (cut: number) => {
    const batch: TailBatch = {
      cut,
      tokens: new Int32Array(tokens),
      lengths: Int32Array.of(tokens),
      hidden: { dtype: 'f32', bytes: hidden },
      pooling: 'mean',
      normalize: true,
    }
    return engine.run(batch, signal)
  }
  return {
    device: engine.device,
    queuedLayers: manifest.layers - 1,
    aloneLayers: DISTINCT_LAYERS,
    queue: (calls) => inFlight(calls, () => run(1)),
    alone: async () => {
      await run(manifest.layers - DISTINCT_LAYERS)
    },
    leave: async () => undefined,
  }
}
