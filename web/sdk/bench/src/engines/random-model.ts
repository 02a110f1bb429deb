import type { Dtype, Manifest } from '../../../src/client/manifest'
import type { UnitBuffers } from '../../../src/engine/unit-buffers'
import { deviceTraits } from '../../../src/engine/variants'
import { MOST_TOKENS } from '../../../src/engine/workspace'
import type { Tensor } from '../../../src/shards/safetensors'
import { ALIGNMENT, expectedTensors, shardDtype } from '../../../src/shards/unit-layout'
import { randomBytes, randomFloats, randomHalves } from '../random-data'
import { DISTINCT_LAYERS, type LayerShape } from '../shapes'

/** Layers that a queued call runs, the distinct ones in turn: the depth of GPT-2 XL, where that is no matter of minutes. */
export function layersACall(device: GPUDevice): number {
  return deviceTraits(device).software ? DISTINCT_LAYERS : 48
}

/** Rows that a session of an output matrix is given in all, at most: it keeps nothing of them. */
const MANY_TOKENS = 100_000

/** A model of the shape with so many layers. */
export function describeModel(shape: LayerShape, dtype: Dtype, layers: number): Manifest {
  const { family, hiddenSize, heads, innerSize, vocabularySize, positions } = shape
  const headSize = hiddenSize / heads
  const gpt2 = family === 'gpt2'
  const epsilon = gpt2 ? 1e-5 : 1e-12
  return {
    model: shape.name,
    layers,
    hiddenSize,
    vocabularySize,
    maxTokens: shape.work === 'lm_head' ? MANY_TOKENS : MOST_TOKENS,
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

type Allocate = (unit: string, tensors: readonly Tensor[], bytes: number) => Promise<UnitBuffers>

/** A unit of random weights. */
export async function randomUnit(
  allocate: Allocate,
  manifest: Manifest,
  unit: string,
  dtype: Dtype,
): Promise<UnitBuffers> {
  const tensors: Tensor[] = []
  let offset = 0
  for (const { name, dtype: stored, shape } of expectedTensors(manifest, unit, dtype)) {
    const bytes = shape.reduce((product, size) => product * size, ELEMENT_BYTES[stored])
    tensors.push({ name, dtype: stored, shape, offset, bytes })
    offset += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
  }
  const buffers = await allocate(unit, tensors, offset)
  for (const tensor of tensors) {
    buffers.write(tensor.offset, randomTensor(tensor, dtype))
  }
  return buffers
}

/** The layers of a model, some sharing their weights, its final LayerNorm, and what other units are asked for. */
export async function randomUnits(
  allocate: Allocate,
  manifest: Manifest,
  dtype: Dtype,
  others: readonly string[] = [],
): Promise<Map<string, UnitBuffers>> {
  const units = new Map<string, UnitBuffers>()
  for (const unit of others) {
    units.set(unit, await randomUnit(allocate, manifest, unit, shardDtype(unit, dtype)))
  }
  if (manifest.final !== undefined) {
    units.set('final', await randomUnit(allocate, manifest, 'final', dtype))
  }
  for (let layer = 0; layer < manifest.layers; layer++) {
    const same = units.get(`layer.${layer - DISTINCT_LAYERS}`)
    units.set(`layer.${layer}`, same ?? (await randomUnit(allocate, manifest, 'layer.0', dtype)))
  }
  return units
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
