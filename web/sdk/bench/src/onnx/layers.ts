import { randomFloats, randomHalves } from '../random-data'
import type { Case } from '../shapes'
import { DISTINCT_LAYERS } from '../shapes'
import { type Element, OnnxGraph } from './graph'

/** How the graph multiplies by weights that are not quantised. */
export type LinearOperator = 'MatMul' | 'Gemm'

const MICROSOFT = 'com.microsoft'

/** Added to what a token must not see; -65504 in f16. */
const LEAST_FLOAT = -1e9
const LEAST_HALF = 0xfbff

/**
 * Four layers as onnxruntime is given them at their best: fused attention, LayerNorm with the residual, GELU with the bias.
 *
 * @param element of activations and of weights that are not quantised
 */
export function layersGraph(wanted: Case, element: Element, linear: LinearOperator): OnnxGraph {
  const { shape, tokens } = wanted
  const builder = new LayersBuilder(wanted, element, linear)
  const { graph } = builder
  const dims = linear === 'Gemm' ? [tokens, shape.hiddenSize] : [1, tokens, shape.hiddenSize]
  let x = graph.input('x', element, dims)
  for (let k = 0; k < DISTINCT_LAYERS; k++) {
    x = builder.layer(x, k)
  }
  const [y = ''] = graph.node('Identity', [x], 1)
  graph.output(y, element, dims)
  return graph
}

/** The whole model around such layers: from token ids `[texts, tokens]` to the mean of the last hidden states, `[texts, hiddenSize]`. */
export function modelGraph(wanted: Case, element: Element, linear: LinearOperator): OnnxGraph {
  const { shape, tokens, texts = 1 } = wanted
  const builder = new LayersBuilder(wanted, element, linear)
  const { graph } = builder
  let x = builder.embed(graph.input('ids', 'i32', [texts, tokens]))
  for (let k = 0; k < shape.layers; k++) {
    x = builder.layer(x, k % DISTINCT_LAYERS)
  }
  graph.output(builder.pool(x), element, [texts, shape.hiddenSize])
  return graph
}

class LayersBuilder {
  readonly graph = new OnnxGraph()
  readonly #h: number
  readonly #epsilon: number
  #unit = ''

  constructor(
    private readonly wanted: Case,
    private readonly element: Element,
    private readonly linearOperator: LinearOperator,
  ) {
    this.#h = wanted.shape.hiddenSize
    this.#epsilon = wanted.shape.family === 'gpt2' ? 1e-5 : 1e-12
    if (wanted.shape.family === 'gpt2') {
      const { tokens } = wanted
      const masked = (i: number) => i % tokens > Math.floor(i / tokens)
      const length = tokens * tokens
      const mask =
        element === 'f16'
          ? Uint16Array.from({ length }, (_, i) => (masked(i) ? LEAST_HALF : 0))
          : Float32Array.from({ length }, (_, i) => (masked(i) ? LEAST_FLOAT : 0))
      this.graph.constant('mask', element, [1, 1, tokens, tokens], mask)
    }
  }

  /** The sum of the tables, with what an encoder's is normalised by. */
  embed(ids: string): string {
    const { shape, tokens, texts = 1 } = this.wanted
    const { graph, element } = this
    this.#unit = 'embeddings'
    const table = this.#weight('tokens', element, [shape.vocabularySize, this.#h])
    const count = tokens * this.#h
    // Every text has the same positions, and the same type of tokens.
    const rows = element === 'f16' ? randomHalves(count, -6) : randomFloats(count, 0.05)
    const positions = graph.constant('positions', element, [tokens, this.#h], rows)
    const [words = ''] = graph.node('Gather', [table, ids], 1)
    const [sum = ''] = graph.node('Add', [words, positions], 1)
    const x = shape.family === 'gpt2' ? sum : this.#layerNorm(sum, 'norm')
    return this.#reshape(x, [texts * tokens, this.#h])
  }

  layer(x: string, layer: number): string {
    this.#unit = `layer.${layer}`
    return this.wanted.shape.family === 'gpt2' ? this.#preNorm(x) : this.#postNorm(x)
  }

  pool(x: string): string {
    const { shape, tokens, texts = 1 } = this.wanted
    const { graph } = this
    this.#unit = 'final'
    const last = shape.family === 'gpt2' ? this.#layerNorm(x, 'norm') : x
    const axes = graph.constant('axes', 'i64', [1], BigInt64Array.of(1n))
    const batched = this.#reshape(last, [texts, tokens, this.#h])
    return graph.node('ReduceMean', [batched, axes], 1, { keepdims: 0 })[0] ?? ''
  }

  #preNorm(x: string): string {
    const { innerSize } = this.wanted.shape
    const normed = this.#layerNorm(x, 'attention.norm')
    const attended = this.#attention(this.#linear('qkv', normed, this.#h, 3 * this.#h))
    const out = this.#linear('out', attended, this.#h, this.#h)
    const [second = '', , , sum = ''] = this.#skipNorm(x, out, 'mlp.norm')
    const inner = this.#gelu(this.#linear('up', second, this.#h, innerSize))
    const [y = ''] = this.graph.node('Add', [this.#linear('down', inner, innerSize, this.#h), sum], 1)
    return y
  }

  #postNorm(x: string): string {
    const { innerSize } = this.wanted.shape
    const attended = this.#attention(this.#linear('qkv', x, this.#h, 3 * this.#h))
    const [middle = ''] = this.#skipNorm(x, this.#linear('out', attended, this.#h, this.#h), 'attention.norm')
    const inner = this.#gelu(this.#linear('up', middle, this.#h, innerSize))
    const [y = ''] = this.#skipNorm(middle, this.#linear('down', inner, innerSize, this.#h), 'mlp.norm')
    return y
  }

  #norm(name: string): string[] {
    return ['weight', 'bias'].map((part) => this.#weight(`${name}.${part}`, this.element, [this.#h]))
  }

  #layerNorm(x: string, name: string): string {
    const attributes = { axis: -1, epsilon: this.#epsilon }
    return this.graph.node('LayerNormalization', [x, ...this.#norm(name)], 1, attributes)[0] ?? ''
  }

  #skipNorm(x: string, skip: string, name: string): string[] {
    const inputs = [x, skip, ...this.#norm(name)]
    return this.graph.node('SkipLayerNormalization', inputs, 4, { epsilon: this.#epsilon }, MICROSOFT)
  }

  #gelu(x: string): string {
    const { family } = this.wanted.shape
    const [y = ''] = this.graph.node('Gelu', [x], 1, { approximate: family === 'gpt2' ? 'tanh' : 'none' })
    return y
  }

  /** `[tokens, columns]` to `[tokens, out]`, with bias. */
  #linear(name: string, x: string, columns: number, out: number): string {
    const { dtype } = this.wanted
    const { graph, element } = this
    if (dtype === 'q4' || dtype === 'q8') {
      const bits = dtype === 'q4' ? 4 : 8
      const blocks = columns / 32
      const quants = this.#weight(`${name}.weight`, 'u8', [out, blocks, 4 * bits])
      const scales = this.#weight(`${name}.scales`, element, [out * blocks])
      const bias = this.#weight(`${name}.bias`, element, [out])
      const inputs = [x, quants, scales, '', '', bias]
      const attributes = { K: columns, N: out, bits, block_size: 32 }
      return graph.node('MatMulNBits', inputs, 1, attributes, MICROSOFT)[0] ?? ''
    }
    const bias = this.#weight(`${name}.bias`, element, [out])
    const weight = this.#weight(`${name}.weight`, element, [columns, out])
    if (this.linearOperator === 'Gemm') {
      return graph.node('Gemm', [x, weight, bias], 1)[0] ?? ''
    }
    const [product = ''] = graph.node('MatMul', [x, weight], 1)
    return graph.node('Add', [product, bias], 1)[0] ?? ''
  }

  #attention(qkv: string): string {
    const { tokens, texts = 1 } = this.wanted
    const { family, heads } = this.wanted.shape
    const { graph } = this
    const batched = this.#reshape(qkv, [texts, tokens, 3 * this.#h])
    const parts = graph.node('Split', [batched], 3, { axis: -1, num_outputs: 3 })
    // Graph capture refuses GroupQueryAttention without a cache of a fixed size, so the causal mask is a bias.
    const inputs = family === 'gpt2' ? [...parts, '', '', 'mask'] : parts
    const [attended = ''] = graph.node('MultiHeadAttention', inputs, 1, { num_heads: heads }, MICROSOFT)
    return this.#reshape(attended, [texts * tokens, this.#h])
  }

  /** Rank 2 is Gemm's alone; elsewhere activations keep their batch. */
  #reshape(x: string, dims: readonly number[]): string {
    if (this.linearOperator !== 'Gemm') {
      return x
    }
    const shape = `shape.${dims.join('x')}`
    if (!this.#shapes.has(shape)) {
      this.#shapes.add(shape)
      this.graph.constant(shape, 'i64', [dims.length], BigInt64Array.from(dims, BigInt))
    }
    return this.graph.node('Reshape', [x, shape], 1)[0] ?? ''
  }

  readonly #shapes = new Set<string>()

  /** Layers that share their weights name them alike. */
  #weight(name: string, element: Element, dims: readonly number[]): string {
    const full = `${this.#unit}.${name}`
    if (!this.#weights.has(full)) {
      this.#weights.add(full)
      this.graph.weight(full, element, dims)
    }
    return full
  }

  readonly #weights = new Set<string>()
}
