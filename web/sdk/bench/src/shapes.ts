import type { Dtype } from '../../src/client/manifest'

/** What a layer of a model consists of, and what there is around its layers. */
export interface LayerShape {
  readonly name: string
  readonly family: 'gpt2' | 'bert'
  readonly hiddenSize: number
  readonly heads: number
  readonly innerSize: number
  /** Layers of the whole model. */
  readonly layers: number
  readonly vocabularySize: number
  readonly positions: number
}

export const SHAPES: readonly LayerShape[] = [
  gpt2('gpt2-xl', 1600, 25, 48),
  gpt2('gpt2', 768, 12, 12),
  {
    name: 'minilm',
    family: 'bert',
    hiddenSize: 384,
    heads: 12,
    innerSize: 1536,
    layers: 6,
    vocabularySize: 30_522,
    positions: 512,
  },
]

function gpt2(name: string, hiddenSize: number, heads: number, layers: number): LayerShape {
  const innerSize = 4 * hiddenSize
  return {
    name,
    family: 'gpt2',
    hiddenSize,
    heads,
    innerSize,
    layers,
    vocabularySize: 50_257,
    positions: 1_024,
  }
}

export const DTYPES: readonly Dtype[] = ['f32', 'f16', 'q8', 'q4']

/** One row of the table, before it is measured. */
export interface Case {
  readonly shape: LayerShape
  readonly dtype: Dtype
  /** Of the one sequence, or of each text. */
  readonly tokens: number
  /** Texts that the whole model embeds at once; absent where one sequence runs through layers alone. */
  readonly texts?: number
}

/** Layers with weights of their own, so that a pass over them does not fit the GPU's cache. */
export const DISTINCT_LAYERS = 4

const BITS: Readonly<Record<Dtype, number>> = { f32: 32, f16: 16, q8: 8.5, q4: 4.5 }

/** Elements of a layer's linear weights. */
export function linearElements({ hiddenSize: h, innerSize }: LayerShape): number {
  return 4 * h * h + 2 * h * innerSize
}

/** Bytes that a layer must at least move: its weights once, and what it is given and gives, in f32. */
export function layerBytes({ shape, dtype, tokens }: Case): number {
  const { hiddenSize: h, innerSize } = shape
  const vectors = 4 * (4 * h + 3 * h + h + innerSize + h)
  return (linearElements(shape) * BITS[dtype]) / 8 + vectors + 2 * tokens * h * 4
}

/** Multiplications and additions of a layer: its linears, and for each query its keys and values. */
export function layerOperations({ shape, tokens }: Case): number {
  const { family, hiddenSize: h } = shape
  const pairs = family === 'gpt2' ? (tokens * (tokens + 1)) / 2 : tokens * tokens
  return 2 * tokens * linearElements(shape) + 4 * pairs * h
}
