import type { Dtype, Manifest } from '../../../src/client/manifest'
import type { TailBatch } from '../../../src/engine/batch'
import { requestDevice } from '../../../src/engine/gpu'
import { TailEngine } from '../../../src/engine/tail-engine'
import { MOST_TOKENS } from '../../../src/engine/workspace'
import { randomFloats, randomTokens } from '../random-data'
import { DISTINCT_LAYERS, DTYPES } from '../shapes'
import type { Engine, Passes } from './engine'
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
  loadModel: async (shape, dtype) => {
    const { layers, vocabularySize } = shape
    const engine = await randomEngine(await requestDevice(), describeModel(shape, dtype, layers), dtype, [
      'embeddings',
    ])
    return {
      enter: async (tokens, texts) =>
        passes(engine, {
          queuedCut: 0,
          aloneCut: 0,
          layers,
          batch: {
            tokens: randomTokens(texts * tokens, vocabularySize),
            lengths: new Int32Array(texts).fill(tokens),
          },
        }),
      close: async () => engine.destroy(),
    }
  },
}

const loadLayers: Engine['load'] = async (shape, dtype) => {
  const device = await requestDevice()
  // Each call enters behind the first layer, with activations.
  const layers = 1 + layersACall(device)
  const engine = await randomEngine(device, describeModel(shape, dtype, layers), dtype, [])
  return {
    enter: async (tokens) =>
      passes(engine, {
        queuedCut: 1,
        aloneCut: layers - DISTINCT_LAYERS,
        layers,
        batch: {
          tokens: new Int32Array(tokens),
          lengths: Int32Array.of(tokens),
          hidden: {
            dtype: 'f32',
            bytes: new Uint8Array(randomFloats(tokens * shape.hiddenSize, 1).buffer),
          },
        },
      }),
    close: async () => engine.destroy(),
  }
}

/** An engine with all layers of random weights, and other units. */
async function randomEngine(
  device: GPUDevice,
  manifest: Manifest,
  dtype: Dtype,
  others: readonly string[],
): Promise<TailEngine> {
  const engine = new TailEngine(device, manifest, dtype, MOST_TOKENS)
  const units = await randomUnits(engine.allocate.bind(engine), manifest, dtype, others)
  for (const [name, buffers] of units) {
    engine.attach(name, buffers)
  }
  return engine
}

interface Calls {
  /** Where a queued call enters, and one alone. */
  readonly queuedCut: number
  readonly aloneCut: number
  readonly layers: number
  readonly batch: Pick<TailBatch, 'tokens' | 'lengths' | 'hidden'>
}

function passes(engine: TailEngine, { queuedCut, aloneCut, layers, batch }: Calls): Passes {
  const { signal } = new AbortController()
  const run = (cut: number) => engine.run({ ...batch, cut, pooling: 'mean', normalize: true }, signal)
  return {
    device: engine.device,
    queuedLayers: layers - queuedCut,
    aloneLayers: layers - aloneCut,
    queue: (calls) => inFlight(calls, () => run(queuedCut)),
    alone: async () => {
      await run(aloneCut)
    },
    leave: async () => undefined,
  }
}
