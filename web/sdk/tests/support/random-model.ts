import type { Activation, Dtype, Manifest, Mask, NormOrder } from '../../src/client/manifest'
import type { Tensor } from '../../src/shards/safetensors'
import { ALIGNMENT, shardDtype, storedColumns } from '../../src/shards/unit-layout'
import { halfToNumber, toHalves } from './half'
import { quantise } from './quantise'
import type { WeightSource } from './reference'

/** A seeded generator of floats in [-1, 1): Mulberry32, so that a failure can be repeated. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1
  }

  /** A whole number in [from, to]. */
  integer(from: number, to: number): number {
    return from + Math.floor(((this.next() + 1) / 2) * (to - from + 1))
  }

  values(count: number, scale: number, around = 0): Float64Array {
    return Float64Array.from({ length: count }, () => Math.fround(around + this.next() * scale))
  }
}

export interface Shape {
  readonly heads: number
  readonly headSize: number
  readonly innerSize: number
  readonly vocabularySize: number
  readonly positions: number
  readonly layers: number
  readonly activation: Activation
  readonly order?: NormOrder
  readonly mask?: Mask
  /** Rows of the type table; without one there is none. */
  readonly types?: number
  readonly embeddingNorm?: boolean
  readonly final?: boolean
  /** Whether there is an output matrix, or its elements, `[vocabularySize, hiddenSize]`. */
  readonly lmHead?: boolean | Float64Array
}

export interface RandomUnit {
  readonly tensors: readonly Tensor[]
  readonly data: Uint8Array<ArrayBuffer>
}

interface DescribedTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** With rows padded. */
  readonly stored: readonly number[]
  readonly values: Float64Array
  readonly dtype: Dtype
}

/** A model of random weights of any shape, as shards hold them and as the reference reads them. */
export class RandomModel {
  readonly manifest: Manifest
  readonly units = new Map<string, RandomUnit>()
  readonly #weights = new Map<string, Map<string, Float64Array>>()

  constructor(
    shape: Shape,
    private readonly dtype: Dtype,
    private readonly random: Random,
  ) {
    const { heads, headSize, innerSize, activation, layers, positions, vocabularySize } = shape
    const {
      order = 'pre',
      mask = 'causal',
      types,
      embeddingNorm = false,
      final = true,
      lmHead = false,
    } = shape
    const h = heads * headSize
    this.manifest = {
      model: 'random',
      layers,
      hiddenSize: h,
      vocabularySize,
      maxTokens: positions,
      embeddings: {
        positions,
        ...(types === undefined ? {} : { types }),
        ...(embeddingNorm ? { norm: { epsilon: 1e-5 } } : {}),
      },
      layer: {
        norm: { order, epsilon: 1e-5 },
        attention: {
          heads,
          headSize,
          mask,
          scales: Array.from({ length: layers }, (_, k) => 1 / Math.sqrt(headSize) / (k + 1)),
        },
        mlp: { innerSize, activation },
      },
      ...(final ? { final: { norm: { epsilon: 1e-6 } } } : {}),
      pooling: { kind: 'mean', normalize: true },
      dtypes: [dtype],
      units: new Map(),
    }
    this.#unit('embeddings', [
      this.#table('tokens', vocabularySize, h),
      this.#table('positions', positions, h),
      ...(types === undefined ? [] : [this.#table('types', types, h)]),
      ...(embeddingNorm ? this.#norm('norm', h) : []),
    ])
    for (let k = 0; k < layers; k++) {
      this.#unit(`layer.${k}`, [
        ...this.#norm('attention.norm', h),
        ...this.#linear('attention.qkv', 3 * h, h),
        ...this.#linear('attention.out', h, h),
        ...this.#norm('mlp.norm', h),
        ...this.#linear('mlp.up', innerSize, h),
        ...this.#linear('mlp.down', h, innerSize),
      ])
    }
    if (final) {
      this.#unit('final', this.#norm('norm', h))
    }
    if (lmHead !== false) {
      const values = lmHead === true ? this.#elements(vocabularySize, h) : lmHead
      this.#unit('lm_head', [this.#weight('weight', vocabularySize, h, values)])
    }
  }

  readonly weights: WeightSource = (unit) => this.#weights.get(unit) ?? new Map()

  #norm(name: string, size: number): DescribedTensor[] {
    return [this.#vector(`${name}.weight`, size, 1), this.#vector(`${name}.bias`, size, 0)]
  }

  #vector(name: string, size: number, around: number): DescribedTensor {
    const values = this.random.values(size, 0.5, around)
    return { name, shape: [size], stored: [size], values, dtype: 'f32' }
  }

  #linear(name: string, out: number, columns: number): DescribedTensor[] {
    return [
      this.#weight(`${name}.weight`, out, columns, this.#elements(out, columns)),
      this.#vector(`${name}.bias`, out, 0),
    ]
  }

  #elements(out: number, columns: number): Float64Array {
    return this.random.values(out * columns, 1.5 / Math.sqrt(columns))
  }

  #weight(name: string, out: number, columns: number, values: Float64Array): DescribedTensor {
    const stored = [out, storedColumns(columns, this.dtype)]
    return { name, shape: [out, columns], stored, values, dtype: this.dtype }
  }

  #table(name: string, rows: number, columns: number): DescribedTensor {
    const shape = [rows, columns]
    const dtype = shardDtype('embeddings', this.dtype)
    return { name, shape, stored: shape, values: this.random.values(rows * columns, 1), dtype }
  }

  #unit(unit: string, described: readonly DescribedTensor[]): void {
    const tensors: Tensor[] = []
    const chunks: Uint8Array[] = []
    const weights = new Map<string, Float64Array>()
    let offset = 0
    const write = (name: string, dtype: string, shape: readonly number[], typed: ArrayBufferView) => {
      const bytes = typed.byteLength
      const end = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
      const chunk = new Uint8Array(end)
      chunk.set(new Uint8Array(typed.buffer, typed.byteOffset, bytes))
      chunks.push(chunk)
      tensors.push({ name, dtype, shape, offset, bytes })
      offset += end
    }
    for (const { name, shape, stored, values, dtype } of described) {
      const padded = pad(values, shape, stored)
      if (dtype === 'f32') {
        weights.set(name, values)
        write(name, 'F32', stored, Float32Array.from(padded))
      } else if (dtype === 'f16') {
        weights.set(name, Float64Array.from(toHalves(values), halfToNumber))
        write(name, 'F16', stored, toHalves(padded))
      } else {
        const { quants, scales, decoded } = quantise(padded, dtype)
        const [out = 0, columns = 0] = stored
        weights.set(name, unpad(decoded, shape, stored))
        const bytes = columns / (dtype === 'q4' ? 2 : 1)
        write(name, dtype === 'q4' ? 'U8' : 'I8', [out, bytes], quants)
        write(`${name}.scales`, 'F16', [out, columns / 32], scales)
      }
    }
    this.units.set(unit, { tensors, data: new Uint8Array(Buffer.concat(chunks)) })
    this.#weights.set(unit, weights)
  }
}

function pad(values: Float64Array, shape: readonly number[], stored: readonly number[]): Float64Array {
  const [rows = 0, columns = 1] = shape
  const stride = stored[1] ?? 1
  const result = new Float64Array(rows * stride)
  for (let r = 0; r < rows; r++) {
    result.set(values.subarray(r * columns, (r + 1) * columns), r * stride)
  }
  return result
}

function unpad(values: Float64Array, shape: readonly number[], stored: readonly number[]): Float64Array {
  const [rows = 0, columns = 1] = shape
  const stride = stored[1] ?? 1
  const result = new Float64Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    result.set(values.subarray(r * stride, r * stride + columns), r * columns)
  }
  return result
}
