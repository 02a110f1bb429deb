import { SplitComputeError } from '../errors'
import { JsonReader } from './json-reader'

export type Dtype = 'f32' | 'f16' | 'q8' | 'q4'
export type Activation = 'gelu_tanh' | 'gelu_erf' | 'relu'
export type Pooling = 'mean' | 'last' | 'cls'
export type Mask = 'causal' | 'bidirectional'
/** Whether a LayerNorm stands before attention and MLP, or behind each residual sum. */
export type NormOrder = 'pre' | 'post'

/** A piece of a shard with a hash of its own. */
export interface Part {
  /** Bytes from the start of the file. */
  readonly offset: number
  readonly bytes: number
  readonly sha256: string
}

/** An input with a known answer: what a device computes from it shows whether its numbers are right. */
export interface Canary {
  readonly seed: number
  readonly scale: number
  /** Of the last row of the unit's output: its mean, its L2 norm, and sixteen of its elements. */
  readonly mean: number
  readonly norm: number
  readonly elements: readonly number[]
}

/** One object of the store. */
export interface Shard {
  readonly sha256: string
  readonly bytes: number
  readonly parts: readonly Part[]
  readonly canary?: Canary
}

/** The tables whose sum is the input of layer 0, and the LayerNorm over it where there is one. */
export interface EmbeddingsDescription {
  readonly positions: number
  readonly types?: number
  readonly norm?: { readonly epsilon: number }
}

/** How every layer of a model computes. */
export interface LayerDescription {
  readonly norm: { readonly order: NormOrder; readonly epsilon: number }
  readonly attention: {
    readonly heads: number
    readonly headSize: number
    readonly mask: Mask
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
  /** Text is cut to so many tokens; too long a text is refused where this is absent. */
  readonly truncateTokens?: number
  /** What is put before every text, and never before tokens. */
  readonly prompt?: string
  readonly embeddings: EmbeddingsDescription
  readonly layer: LayerDescription
  /** The LayerNorm behind the last layer. */
  readonly final?: { readonly norm: { readonly epsilon: number } }
  readonly pooling: { readonly kind: Pooling; readonly normalize: boolean }
  readonly dtypes: readonly string[]
  /** By unit, then by dtype. */
  readonly units: ReadonlyMap<string, ReadonlyMap<string, Shard>>
  /** The shard of `tokenizer.json`; absent where the model is served for token ids alone. */
  readonly tokenizer?: Shard
}

/** Most bytes of a manifest. */
export const MANIFEST_LIMIT = 16 * 1024 * 1024

const CANARY_ELEMENTS = 16
const FORMAT = 'splitcompute.manifest/1'
const ACTIVATIONS = ['gelu_tanh', 'gelu_erf', 'relu'] as const
const POOLINGS = ['mean', 'last', 'cls'] as const
const MASKS = ['causal', 'bidirectional'] as const
const NORM_ORDERS = ['pre', 'post'] as const

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
  const maxTokens = root.size('maxTokens')
  const embeddings = parseEmbeddings(root.object('embeddings'))
  if (maxTokens > embeddings.positions) {
    root.fail('maxTokens', `exceeds the ${embeddings.positions} positions`)
  }
  const final = root.has('final') ? { norm: parseNorm(root.object('final').object('norm')) } : undefined
  return {
    model: root.string('model'),
    layers,
    hiddenSize,
    vocabularySize: root.size('vocabularySize'),
    maxTokens,
    ...(root.has('truncateTokens') ? { truncateTokens: root.size('truncateTokens') } : {}),
    ...(root.has('defaultPrompt') ? { prompt: parsePrompt(root) } : {}),
    embeddings,
    layer,
    ...(final === undefined ? {} : { final }),
    pooling: { kind: pooling.choice('kind', POOLINGS), normalize: pooling.boolean('normalize') },
    dtypes,
    units: parseUnits(root, layers, final !== undefined, dtypes),
    ...(root.has('tokenizer') ? { tokenizer: parseShard(root.object('tokenizer')) } : {}),
  }
}

function parsePrompt(root: JsonReader): string {
  const name = root.string('defaultPrompt')
  const prompts = root.object('prompts')
  return prompts.has(name) ? prompts.string(name) : root.fail('defaultPrompt', 'is none of prompts')
}

function parseEmbeddings(embeddings: JsonReader): EmbeddingsDescription {
  return {
    positions: embeddings.size('positions'),
    ...(embeddings.has('types') ? { types: embeddings.size('types') } : {}),
    ...(embeddings.has('norm') ? { norm: parseNorm(embeddings.object('norm')) } : {}),
  }
}

function parseNorm(norm: JsonReader): { epsilon: number } {
  const epsilon = norm.finite('epsilon')
  return epsilon >= 0 && epsilon < 1 ? { epsilon } : norm.fail('epsilon', 'must be from 0 to below 1')
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
  if (scales.length !== layers || scales.some((scale) => scale <= 0)) {
    attention.fail('scales', `must have one positive scale for each of ${layers} layers`)
  }
  return {
    norm: { order: norm.choice('order', NORM_ORDERS), ...parseNorm(norm) },
    attention: { heads, headSize, mask: attention.choice('mask', MASKS), scales },
    mlp: { innerSize: mlp.size('innerSize'), activation: mlp.choice('activation', ACTIVATIONS) },
  }
}

function parseUnits(
  root: JsonReader,
  layers: number,
  final: boolean,
  dtypes: readonly string[],
): Map<string, Map<string, Shard>> {
  const names = ['embeddings', ...Array.from({ length: layers }, (_, k) => `layer.${k}`)]
  if (final) {
    names.push('final')
  }
  const units = root.list('units')
  if (units.length === names.length + 1) {
    names.push('lm_head')
  }
  if (units.length !== names.length) {
    root.fail('units', `must be ${names.length}, or one more with "lm_head", not ${units.length}`)
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
  const bytes = shard.bytes('bytes')
  const parts = shard.list('parts').map((part) => ({
    offset: part.offset('offset'),
    bytes: part.bytes('bytes'),
    sha256: part.hash('sha256'),
  }))
  let offset = 0
  for (const part of parts) {
    if (part.offset !== offset) {
      shard.fail('parts', `has a part at ${part.offset}, where the one before ends at ${offset}`)
    }
    offset += part.bytes
  }
  if (offset !== bytes) {
    shard.fail('parts', `end at ${offset}, the shard at ${bytes}`)
  }
  const canary = shard.has('canary') ? { canary: parseCanary(shard.object('canary')) } : {}
  return { sha256: shard.hash('sha256'), bytes, parts, ...canary }
}

function parseCanary(canary: JsonReader): Canary {
  const elements = canary.list('elements').map((item) => item.asFinite())
  if (elements.length !== CANARY_ELEMENTS) {
    canary.fail('elements', `must be ${CANARY_ELEMENTS}`)
  }
  return {
    seed: canary.count('seed'),
    scale: canary.positive('scale'),
    mean: canary.finite('mean'),
    norm: canary.finite('norm'),
    elements,
  }
}
