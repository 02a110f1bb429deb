import { SplitComputeError } from '../errors'
import { JsonReader } from './json-reader'

export type Dtype = 'f32' | 'f16'
export type Activation = 'gelu_tanh' | 'gelu_erf' | 'relu'
export type Pooling = 'mean' | 'last' | 'cls'

/** A piece of a shard with a hash of its own. */
export interface Part {
  /** Bytes from the start of the file. */
  readonly offset: number
  readonly bytes: number
  readonly sha256: string
}

/** One object of the store. */
export interface Shard {
  readonly sha256: string
  readonly bytes: number
  readonly parts: readonly Part[]
}

/** How every layer of a model computes. */
export interface LayerDescription {
  readonly norm: { readonly order: 'pre'; readonly epsilon: number }
  readonly attention: {
    readonly heads: number
    readonly headSize: number
    readonly mask: 'causal'
    /** One a layer: what q·k is multiplied by before the softmax. */
    readonly scales: readonly number[]
  }
  readonly mlp: { readonly innerSize: number; readonly activation: Activation }
}

/** What a model consists of; `weights/FORMAT.md` specifies it. */
export interface Manifest {
  readonly model: string
  readonly layers: number
  readonly hiddenSize: number
  readonly vocabularySize: number
  /** Most tokens of one input. */
  readonly maxTokens: number
  readonly positions: number
  readonly layer: LayerDescription
  readonly finalNormEpsilon: number
  readonly pooling: { readonly kind: Pooling; readonly normalize: boolean }
  readonly dtypes: readonly string[]
  /** By unit, then by dtype. */
  readonly units: ReadonlyMap<string, ReadonlyMap<string, Shard>>
}

/** Most bytes of a manifest. */
export const MANIFEST_LIMIT = 16 * 1024 * 1024

const PART_BYTES = 4 * 1024 * 1024
const FORMAT = 'splitcompute.manifest/1'
const ACTIVATIONS = ['gelu_tanh', 'gelu_erf', 'relu'] as const
const POOLINGS = ['mean', 'last', 'cls'] as const

/**
 * Reads a manifest and checks every number of it before anything is sized by it.
 *
 * @throws SplitComputeError `invalid_manifest`, or `unsupported_model` for one that this version cannot run
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.byteLength > MANIFEST_LIMIT) {
    throw new SplitComputeError('invalid_manifest', `The manifest is larger than ${MANIFEST_LIMIT} bytes.`)
  }
  const root = JsonReader.parse(bytes, 'invalid_manifest', 'The manifest')
  const format = root.string('format')
  if (format !== FORMAT) {
    throw new SplitComputeError(
      'unsupported_model',
      `The manifest has the format "${format}", not "${FORMAT}".`,
    )
  }
  const layers = root.size('layers')
  const hiddenSize = root.size('hiddenSize')
  const layer = parseLayer(root.object('layer'), layers, hiddenSize)
  const dtypes = root.list('dtypes').map((item) => item.asString())
  if (dtypes.length === 0 || new Set(dtypes).size !== dtypes.length) {
    root.fail('dtypes', 'must name each dtype once, and at least one')
  }
  const pooling = root.object('pooling')
  return {
    model: root.string('model'),
    layers,
    hiddenSize,
    vocabularySize: root.size('vocabularySize'),
    maxTokens: root.size('maxTokens'),
    positions: root.object('embeddings').size('positions'),
    layer,
    finalNormEpsilon: root.object('final').object('norm').positive('epsilon'),
    pooling: { kind: pooling.choice('kind', POOLINGS), normalize: pooling.boolean('normalize') },
    dtypes,
    units: parseUnits(root, layers, dtypes),
  }
}

function parseLayer(layer: JsonReader, layers: number, hiddenSize: number): LayerDescription {
  const norm = layer.object('norm')
  const attention = layer.object('attention')
  const mlp = layer.object('mlp')
  const heads = attention.size('heads')
  const headSize = attention.size('headSize')
  if (heads * headSize !== hiddenSize) {
    attention.fail('headSize', `times heads must be the hidden size ${hiddenSize}`)
  }
  if (headSize > 256) {
    throw new SplitComputeError('unsupported_model', `Heads of ${headSize} elements exceed 256.`)
  }
  const scales = attention.list('scales').map((item) => item.asFinite())
  if (scales.length !== layers) {
    attention.fail('scales', `must have one scale for each of ${layers} layers`)
  }
  return {
    norm: { order: norm.choice('order', ['pre'] as const), epsilon: norm.positive('epsilon') },
    attention: { heads, headSize, mask: attention.choice('mask', ['causal'] as const), scales },
    mlp: { innerSize: mlp.size('innerSize'), activation: mlp.choice('activation', ACTIVATIONS) },
  }
}

function parseUnits(
  root: JsonReader,
  layers: number,
  dtypes: readonly string[],
): Map<string, Map<string, Shard>> {
  const names = ['embeddings', ...Array.from({ length: layers }, (_, k) => `layer.${k}`), 'final', 'lm_head']
  const units = root.list('units')
  if (units.length !== names.length) {
    root.fail('units', `must be ${names.length}, not ${units.length}`)
  }
  const result = new Map<string, Map<string, Shard>>()
  for (const [i, unit] of units.entries()) {
    const name = unit.string('name')
    if (name !== names[i]) {
      unit.fail('name', `must be "${names[i]}"`)
    }
    const variants = unit.object('variants')
    result.set(name, new Map(dtypes.map((dtype) => [dtype, parseShard(variants.object(dtype))])))
  }
  return result
}

function parseShard(shard: JsonReader): Shard {
  const bytes = shard.size('bytes')
  const parts = shard.list('parts').map((part) => ({
    offset: part.count('offset'),
    bytes: part.size('bytes'),
    sha256: part.hash('sha256'),
  }))
  let offset = 0
  for (const part of parts) {
    if (part.offset !== offset || part.bytes !== Math.min(PART_BYTES, bytes - offset)) {
      shard.fail('parts', `must tile the shard in pieces of ${PART_BYTES} bytes`)
    }
    offset += part.bytes
  }
  if (offset !== bytes) {
    shard.fail('parts', `end at ${offset}, the shard at ${bytes}`)
  }
  return { sha256: shard.hash('sha256'), bytes, parts }
}
