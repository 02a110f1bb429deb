import type { Dtype, Manifest, Pooling } from '../../src/client/manifest'
import type { Tensor } from '../../src/shards/safetensors'
import { erfc } from './erfc'
import { dequantise } from './quantise'
import { readShard } from './store'
import { widen } from './tensors'

type Weights = ReadonlyMap<string, Float64Array>

/** Gives a unit's weights, linear weights `[out, in]` without padding. */
export type WeightSource = (unit: string) => Weights

/** The decoded weights of a model's shards. */
export function shardWeights(manifest: Manifest, dtype: Dtype): WeightSource {
  const units = new Map<string, Weights>()
  return (unit) => {
    let weights = units.get(unit)
    if (weights === undefined) {
      const { header, data } = readShard(manifest, unit, dtype)
      weights = new Map(
        header.tensors
          .filter(({ name }) => !/^pad\.|\.scales$/.test(name))
          .map((tensor) => {
            const scales = header.tensors.find(({ name }) => name === `${tensor.name}.scales`)
            const [out = 0, stored] = tensor.shape
            const shape = scales === undefined ? [out, stored] : [out, (scales.shape[1] ?? 0) * 32]
            const columns = Number(header.metadata.get(`${tensor.name}.in`) ?? stored)
            const bytes = ({ offset, bytes }: Tensor) => data.slice(offset, offset + bytes)
            const values =
              scales === undefined
                ? widen(tensor, data)
                : dequantise(bytes(tensor), new Uint16Array(bytes(scales).buffer), quantised(tensor))
            return [tensor.name, stored === undefined ? values : unpad(values, shape, columns)]
          }),
      )
      units.set(unit, weights)
    }
    return weights
  }
}

function quantised({ dtype }: Tensor): 'q8' | 'q4' {
  return dtype === 'I8' ? 'q8' : 'q4'
}

function unpad(values: Float64Array, shape: readonly (number | undefined)[], columns: number): Float64Array {
  const [rows = 0, stored] = shape
  if (stored === undefined || stored === columns) {
    return values
  }
  const result = new Float64Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    result.set(values.subarray(r * stored, r * stored + columns), r * columns)
  }
  return result
}

/** The model as its manifest describes it, in f64 and as plainly as can be. */
export class Reference {
  constructor(
    private readonly manifest: Manifest,
    private readonly weights: WeightSource,
  ) {}

  /** The input of layer 0, `[tokens, hiddenSize]`. */
  embed(tokens: Int32Array, lengths: Int32Array): Float64Array {
    const h = this.manifest.hiddenSize
    const embeddings = this.weights('embeddings')
    const [table, positions] = [get(embeddings, 'tokens'), get(embeddings, 'positions')]
    const types = embeddings.get('types') ?? new Float64Array(h)
    const x = new Float64Array(tokens.length * h)
    let t = 0
    for (const length of lengths) {
      for (let p = 0; p < length; p++, t++) {
        for (let c = 0; c < h; c++) {
          x[t * h + c] = at(table, at(tokens, t) * h + c) + at(positions, p * h + c) + at(types, c)
        }
      }
    }
    const { norm } = this.manifest.embeddings
    return norm === undefined ? x : this.#norm(embeddings, 'norm', x, norm.epsilon)
  }

  /** The output of layers `[from, to)`. */
  layers(from: number, to: number, input: Float64Array, lengths: Int32Array): Float64Array {
    let x = input
    for (let k = from; k < to; k++) {
      x = this.#layer(k, x, lengths)
    }
    return x
  }

  /** The final LayerNorm, where the model has one. */
  final(x: Float64Array): Float64Array {
    const { final } = this.manifest
    return final === undefined ? x : this.#norm(this.weights('final'), 'norm', x, final.norm.epsilon)
  }

  /** `[rows, vocabularySize]` */
  logits(x: Float64Array): Float64Array {
    const { hiddenSize, vocabularySize } = this.manifest
    const unbiased = new Map([...this.weights('lm_head'), ['bias', new Float64Array(vocabularySize)]])
    return linear(unbiased, '', x, hiddenSize, vocabularySize)
  }

  pool(x: Float64Array, lengths: Int32Array, kind: Pooling, normalize: boolean): Float64Array[] {
    const h = this.manifest.hiddenSize
    let start = 0
    return Array.from(lengths, (length) => {
      const result = new Float64Array(h)
      for (let c = 0; c < h; c++) {
        const column = Array.from({ length }, (_, r) => at(x, (start + r) * h + c))
        const mean = column.reduce((sum, value) => sum + value, 0) / length
        result[c] = kind === 'mean' ? mean : (column.at(kind === 'last' ? -1 : 0) ?? Number.NaN)
      }
      start += length
      const norm = normalize ? Math.hypot(...result) : 1
      return result.map((value) => value / norm)
    })
  }

  #layer(k: number, x: Float64Array, lengths: Int32Array): Float64Array {
    const { hiddenSize: h, layer } = this.manifest
    const unit = this.weights(`layer.${k}`)
    const { order, epsilon } = layer.norm
    const pre = (name: string, y: Float64Array) => (order === 'pre' ? this.#norm(unit, name, y, epsilon) : y)
    const post = (name: string, y: Float64Array) =>
      order === 'post' ? this.#norm(unit, name, y, epsilon) : y
    const qkv = linear(unit, 'attention.qkv', pre('attention.norm', x), h, 3 * h)
    const attended = this.#attend(qkv, lengths, layer.attention.scales[k] ?? Number.NaN)
    const y = post('attention.norm', add(x, linear(unit, 'attention.out', attended, h, h)))
    const inner = linear(unit, 'mlp.up', pre('mlp.norm', y), h, layer.mlp.innerSize)
    const activated = inner.map(ACTIVATIONS[layer.mlp.activation])
    return post('mlp.norm', add(y, linear(unit, 'mlp.down', activated, layer.mlp.innerSize, h)))
  }

  #norm(unit: Weights, name: string, x: Float64Array, epsilon: number): Float64Array {
    const h = this.manifest.hiddenSize
    const [weight, bias] = [get(unit, `${name}.weight`), get(unit, `${name}.bias`)]
    const result = new Float64Array(x.length)
    for (let r = 0; r < x.length; r += h) {
      const row = x.subarray(r, r + h)
      const mean = row.reduce((sum, value) => sum + value, 0) / h
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / h
      for (let c = 0; c < h; c++) {
        const normal = (at(row, c) - mean) / Math.sqrt(variance + epsilon)
        result[r + c] = normal * at(weight, c) + at(bias, c)
      }
    }
    return result
  }

  #attend(qkv: Float64Array, lengths: Int32Array, scale: number): Float64Array {
    const { hiddenSize: h, layer } = this.manifest
    const { heads, headSize, mask } = layer.attention
    const result = new Float64Array(qkv.length / 3)
    let start = 0
    for (const length of lengths) {
      for (let head = 0; head < heads; head++) {
        const column = head * headSize
        for (let t = start; t < start + length; t++) {
          const scores: number[] = []
          const end = mask === 'causal' ? t + 1 : start + length
          for (let s = start; s < end; s++) {
            let dot = 0
            for (let d = 0; d < headSize; d++) {
              dot += at(qkv, t * 3 * h + column + d) * at(qkv, s * 3 * h + h + column + d)
            }
            scores.push(dot * scale)
          }
          const peak = Math.max(...scores)
          const shares = scores.map((score) => Math.exp(score - peak))
          const sum = shares.reduce((total, share) => total + share, 0)
          for (let d = 0; d < headSize; d++) {
            result[t * h + column + d] =
              shares.reduce(
                (total, share, i) => total + share * at(qkv, (start + i) * 3 * h + 2 * h + column + d),
                0,
              ) / sum
          }
        }
      }
      start += length
    }
    return result
  }
}

const ACTIVATIONS = {
  gelu_tanh: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu_erf: (x: number) => 0.5 * x * erfc(-x / Math.SQRT2),
  relu: (x: number) => Math.max(x, 0),
}

function linear(unit: Weights, name: string, x: Float64Array, columns: number, out: number): Float64Array {
  const prefix = name === '' ? '' : `${name}.`
  const [weight, bias] = [get(unit, `${prefix}weight`), get(unit, `${prefix}bias`)]
  const rows = x.length / columns
  const result = new Float64Array(rows * out)
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * columns, (r + 1) * columns)
    for (let o = 0; o < out; o++) {
      let sum = at(bias, o)
      for (let c = 0, w = o * columns; c < columns; c++, w++) {
        sum += (row[c] as number) * (weight[w] as number)
      }
      result[r * out + o] = sum
    }
  }
  return result
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + at(b, i))
}

function get(unit: Weights, name: string): Float64Array {
  const tensor = unit.get(name)
  if (tensor === undefined) {
    throw new Error(`There is no tensor "${name}".`)
  }
  return tensor
}

/** An element; NaN beyond the end, which no comparison survives. */
function at(values: Float64Array | Int32Array, index: number): number {
  return values[index] ?? Number.NaN
}
