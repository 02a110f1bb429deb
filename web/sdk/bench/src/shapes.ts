import type { Dtype } from '../../src/client/manifest'

/**
 * What is measured of a model: its layers over a sequence; its layers over one token behind a context whose keys and values are kept; its
 * output matrix over rows, and the choice of the highest logits.
 */
export type Work = 'layers' | 'decode' | 'lm_head'

/** What a layer of a model consists of, what there is around its layers, and what is measured of it. */
export interface LayerShape {
  readonly name: string
  readonly work: Work
  readonly family: 'gpt2' | 'bert'
  readonly hiddenSize: number
  readonly heads: number
  readonly innerSize: number
  /** Layers of the whole model. */
  readonly layers: number
  readonly vocabularySize: number
  readonly positions: number
}

const GPT2 = { family: 'gpt2', vocabularySize: 50_257, positions: 1_024 } as const
const XL = { ...GPT2, hiddenSize: 1600, heads: 25, innerSize: 6400, layers: 48 } as const
const SMALL = { ...GPT2, hiddenSize: 768, heads: 12, innerSize: 3072, layers: 12 } as const

export const SHAPES: readonly LayerShape[] = [
  { ...XL, name: 'gpt2-xl', work: 'layers' },
  { ...SMALL, name: 'gpt2', work: 'layers' },
  {
    name: 'minilm',
    work: 'layers',
    family: 'bert',
    hiddenSize: 384,
    heads: 12,
    innerSize: 1536,
    layers: 6,
    vocabularySize: 30_522,
    positions: 512,
  },
]

/** What only an engine that keeps keys and values has. */
export const STEP_SHAPES: readonly LayerShape[] = [
  { ...XL, name: 'gpt2-xl-decode', work: 'decode' },
  { ...SMALL, name: 'gpt2-decode', work: 'decode' },
  { ...XL, name: 'gpt2-xl-lm-head', work: 'lm_head' },
  { ...SMALL, name: 'gpt2-lm-head', work: 'lm_head' },
]

export const DTYPES: readonly Dtype[] = ['f32', 'f16', 'q8', 'q4']

/** One row of the table, before it is measured. */
export interface Case {
  readonly shape: LayerShape
  readonly dtype: Dtype
  /** Of the sequence, or of each text; of the context with the token that is decoded; of an output matrix, the rows. */
  readonly tokens: number
  /** Texts that the whole model embeds at once; absent where one sequence runs through layers alone. */
  readonly texts?: number
}

/** Layers with weights of their own, so that a pass over them does not fit the GPU's cache. */
export const DISTINCT_LAYERS = 4

const BITS: Readonly<Record<Dtype, number>> = { f32: 32, f16: 16, q8: 8.5, q4: 4.5 }

/** Elements of a layer's linear weights. */
export function linearElements({ hiddenSize: h, innerSize, vocabularySize, work }: LayerShape): number {
  return work === 'lm_head' ? vocabularySize * h : 4 * h * h + 2 * h * innerSize
}

/** Bytes that a layer must at least move: its weights once, what it is given and gives, and what it reads of the cache, in f32. */
export function layerBytes({ shape, dtype, tokens }: Case): number {
  const { hiddenSize: h, innerSize, work } = shape
  const weights = (linearElements(shape) * BITS[dtype]) / 8
  if (work === 'lm_head') {
    return weights + tokens * h * 4
  }
  const vectors = 4 * (4 * h + 3 * h + h + innerSize + h)
  const activations = 2 * rowsOf({ shape, tokens }) * h * 4
  return weights + vectors + activations + (work === 'decode' ? 2 * tokens * h * 4 : 0)
}

/** Multiplications and additions of a layer: its linears, and for each query its keys and values. */
export function layerOperations({ shape, tokens }: Case): number {
  const { family, hiddenSize: h, work } = shape
  const pairs = {
    layers: family === 'gpt2' ? (tokens * (tokens + 1)) / 2 : tokens * tokens,
    decode: tokens,
    lm_head: 0,
  }
  return 2 * rowsOf({ shape, tokens }) * linearElements(shape) + 4 * pairs[work] * h
}

/** A matmul `[m, k] x [k, n]`. */
export interface MatmulSize {
  readonly m: number
  readonly k: number
  readonly n: number
}

/** Rows of an output matrix at once, at most: its logits are large. */
const LOGIT_ROWS = 64

/** The largest matmul of a case; `n` to the multiple of 4 that hand-written kernels want. */
export function largestMatmul({ shape, tokens }: Case): MatmulSize {
  const { hiddenSize: k, innerSize, vocabularySize, work } = shape
  return work === 'lm_head'
    ? { m: Math.min(LOGIT_ROWS, tokens), k, n: vocabularySize - (vocabularySize % 4) }
    : { m: rowsOf({ shape, tokens }), k, n: innerSize }
}

function rowsOf({ shape, tokens }: Pick<Case, 'shape' | 'tokens'>): number {
  return shape.work === 'decode' ? 1 : tokens
}
