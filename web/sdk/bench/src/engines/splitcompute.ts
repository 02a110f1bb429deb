import type { Dtype, Manifest } from '../../../src/client/manifest'
import type { TailBatch } from '../../../src/engine/batch'
import { requestDevice } from '../../../src/engine/gpu'
import { TailEngine } from '../../../src/engine/tail-engine'
import { deviceTraits } from '../../../src/engine/variants'
import { MOST_TOKENS } from '../../../src/engine/workspace'
import type { Tensor } from '../../../src/shards/safetensors'
import { ALIGNMENT, expectedTensors, shardDtype } from '../../../src/shards/unit-layout'
import { randomBytes, randomFloats, randomHalves, randomTokens } from '../random-data'
import { DISTINCT_LAYERS, DTYPES, type LayerShape } from '../shapes'
import type { Engine, Passes } from './engine'

/** Layers that a queued call runs, the distinct ones in turn: the depth of GPT-2 XL, where that is no matter of minutes. */
const LAYERS_A_CALL = 48
const SOFTWARE_LAYERS_A_CALL = DISTINCT_LAYERS

/** Calls with a result of their own that wait at once; more would only take memory. */
const FLIGHT = 64

export const splitcompute: Engine = {
  name: 'splitcompute',
  dtypes: DTYPES,
  lacks: () => undefined,
  load: async (shape, dtype) => {
    const device = await requestDevice()
    // The first layer is not there: each call enters behind it, with activations.
    const layers = 1 + (deviceTraits(device).software ? SOFTWARE_LAYERS_A_CALL : LAYERS_A_CALL)
    const manifest = describeModel(shape, dtype, layers)
    const engine = await randomEngine(device, manifest, dtype)
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
  },
  loadModel: async (shape, dtype) => {
    const { layers, vocabularySize } = shape
    const manifest = describeModel(shape, dtype, layers)
    const engine = await randomEngine(await requestDevice(), manifest, dtype)
    await attachRandom(engine, manifest, 'embeddings', shardDtype('embeddings', dtype), ['embeddings'])
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
    queue: async (calls) => {
      for (let left = calls; left > 0; left -= FLIGHT) {
        await Promise.all(Array.from({ length: Math.min(left, FLIGHT) }, () => run(queuedCut)))
      }
    },
    alone: async () => {
      await run(aloneCut)
    },
    leave: async () => undefined,
  }
}

/** An engine with all layers of random weights, the distinct ones in turn. */
async function randomEngine(device: GPUDevice, manifest: Manifest, dtype: Dtype): Promise<TailEngine> {
  const engine = new TailEngine(device, manifest, dtype, MOST_TOKENS)
  if (manifest.final !== undefined) {
    await attachRandom(engine, manifest, 'final', dtype, ['final'])
  }
  const names = Array.from({ length: manifest.layers }, (_, i) => `layer.${i}`)
  for (let k = 0; k < DISTINCT_LAYERS; k++) {
    const cycled = names.filter((_, i) => i % DISTINCT_LAYERS === k)
    await attachRandom(engine, manifest, 'layer.0', dtype, cycled)
  }
  return engine
}

function describeModel(shape: LayerShape, dtype: Dtype, layers: number): Manifest {
  const { family, hiddenSize, heads, innerSize, vocabularySize, positions } = shape
  const headSize = hiddenSize / heads
  const gpt2 = family === 'gpt2'
  const epsilon = gpt2 ? 1e-5 : 1e-12
  return {
    model: shape.name,
    layers,
    hiddenSize,
    vocabularySize,
    maxTokens: positions,
    embeddings: { positions, ...(gpt2 ? {} : { types: 2, norm: { epsilon } }) },
    layer: {
      norm: { order: gpt2 ? 'pre' : 'post', epsilon },
      attention: {
        heads,
        headSize,
        mask: gpt2 ? 'causal' : 'bidirectional',
        scales: Array.from({ length: layers }, () => 1 / Math.sqrt(headSize)),
      },
      mlp: { innerSize, activation: gpt2 ? 'gelu_tanh' : 'gelu_erf' },
    },
    ...(gpt2 ? { final: { norm: { epsilon } } } : {}),
    pooling: { kind: 'mean', normalize: true },
    dtypes: [dtype],
    units: new Map(),
  }
}

/** Fills one unit with random weights and lets every one of `names` find it. */
async function attachRandom(
  engine: TailEngine,
  manifest: Manifest,
  unit: string,
  dtype: Dtype,
  names: readonly string[],
): Promise<void> {
  const tensors: Tensor[] = []
  let offset = 0
  for (const { name, dtype: stored, shape } of expectedTensors(manifest, unit, dtype)) {
    const bytes = shape.reduce((product, size) => product * size, ELEMENT_BYTES[stored])
    tensors.push({ name, dtype: stored, shape, offset, bytes })
    offset += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
  }
  const buffers = await engine.allocate(unit, tensors, offset)
  for (const tensor of tensors) {
    buffers.write(tensor.offset, randomTensor(tensor, dtype))
  }
  for (const name of names) {
    engine.attach(name, buffers)
  }
}

const ELEMENT_BYTES = { F32: 4, F16: 2, I8: 1, U8: 1 } as const

/** Values of a size at which activations neither vanish nor grow without bound. */
function randomTensor({ name, dtype: stored, bytes }: Tensor, dtype: Dtype): Uint8Array<ArrayBuffer> {
  if (stored === 'F32') {
    const around = name.endsWith('norm.weight') ? 1 : 0
    return new Uint8Array(randomFloats(bytes / 4, 0.05, around).buffer)
  }
  if (stored === 'F16') {
    const scales = name.endsWith('.scales')
    const exponent = scales ? (dtype === 'q4' ? -7 : -11) : -6
    return new Uint8Array(randomHalves(bytes / 2, exponent, scales).buffer)
  }
  return randomBytes(bytes)
}
