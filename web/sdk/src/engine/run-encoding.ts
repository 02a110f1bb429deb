import type { Pooling } from '../client/manifest'
import type { Activations } from './batch'
import type { CachedSequences } from './kv-cache'
import { matmulDispatch } from './matmul-dispatch'
import { splitKeys } from './partials'
import { type Epilogue, type Kernel, SUM_THREADS } from './pipelines'
import { f32Bits, type Grid, Recording } from './recording'
import type { TailProgram } from './tail-program'
import type { UnitBuffers } from './unit-buffers'
import { type AttentionVariant, type ForcedVariants, type MatmulVariant, PLAIN_HEADS } from './variants'
import { rowStride, type Workspace } from './workspace'

/** As `pool.wgsl` counts them. */
export const POOLING_KINDS = { mean: 0, last: 1, cls: 2 } as const

/** Operations on an element that a LayerNorm takes, beside the sums that it adds up. */
const NORM_OPERATIONS = 8

/** What one run computes: whole sequences through a range of layers. */
export interface RunSpan {
  /** Tokens of each sequence. */
  readonly lengths: readonly number[]
  /** Token ids, where the span begins with the embeddings; else the rows that layer `from` is given. */
  readonly input: Int32Array | Activations
  readonly from: number
  /** Layers `[from, to)` run. */
  readonly to: number
  /** Whether the final LayerNorm follows, where the model has one. */
  readonly final: boolean
  /** Whether `pool` follows. */
  readonly pooled?: boolean
  /** Where the sequences go on from what earlier spans left in a cache. */
  readonly cached?: CachedSequences
  /** Variants of kernels to take instead of those that the shape asks for. */
  readonly forced?: ForcedVariants
}

export interface RunTarget {
  readonly unit: (name: string) => UnitBuffers
  readonly workspace: Workspace
  readonly uniforms: GPUBuffer
  /** Operations that one submit takes at most, unless a single dispatch takes more. */
  readonly sliceOperations: number
}

/** The kernels that runs of one shape take. */
export interface RunKernels {
  readonly matmul: MatmulVariant
  /** Whether matmuls normalise what they read and add to the residual stream: a single row needs no dispatches of their own for that. */
  readonly fused: boolean
  readonly attentionVariant: AttentionVariant
  /** @throws Error for one that was not compiled */
  readonly get: (name: string) => Kernel
}

interface Linear {
  readonly unit: UnitBuffers
  /** What tells it apart from those of other units. */
  readonly key: string
  readonly name: string
  readonly out: number
  readonly in: number
  /** The LayerNorm that the input passes first, where that is the matmul's own. */
  readonly norm?: string
}

/** One run on its way into a recording. */
export class RunEncoding {
  readonly recording: Recording
  readonly #h: number
  readonly #post: boolean
  readonly #rows: number
  readonly #device: GPUDevice
  #blocks = 0
  /** Of a query and a key that it sees. */
  #pairs = 0
  /** That a query sees. */
  #mostKeys = 0

  constructor(
    private readonly program: TailProgram,
    private readonly span: RunSpan,
    private readonly kernels: RunKernels,
    private readonly target: RunTarget,
  ) {
    const { hiddenSize, layer } = program.manifest
    this.recording = new Recording(target.sliceOperations)
    this.#h = hiddenSize
    this.#post = layer.norm.order === 'post'
    this.#rows = span.lengths.reduce((sum, length) => sum + length, 0)
    this.#device = program.pipelines.device
  }

  /** Where the span's result lies, rows of `rowStride(hiddenSize)` floats. */
  get output(): GPUBuffer {
    const { hidden, normed } = this.target.workspace
    return this.#finalNorm && !this.#post ? normed : hidden
  }

  /** Fills the residual stream, and what tells the sequences apart. */
  input(): void {
    this.#sequences()
    const { input, from, to } = this.span
    if (input instanceof Int32Array) {
      this.#embed(input)
    } else {
      this.#unpack(input)
    }
    const { layer } = this.program.manifest
    if (this.#post || (this.kernels.fused && from < to)) {
      return
    }
    if (from < to) {
      this.#norm(`layer.${from}`, 'attention.norm', layer.norm.epsilon, undefined, 0)
    } else if (this.#finalNorm) {
      this.#finish(undefined, 0)
    }
  }

  layer(k: number): void {
    const { attention, mlp, norm } = this.program.manifest.layer
    const { workspace } = this.target
    const name = `layer.${k}`
    const unit = this.target.unit(name)
    const linear = (weight: string, out: number, columns: number, normed?: string): Linear => {
      const own = this.kernels.fused && normed !== undefined ? { norm: normed } : {}
      return { unit, key: `${name}.${weight}`, name: weight, out, in: columns, ...own }
    }
    const h = this.#h
    const qkv = linear('attention.qkv', 3 * h, h, 'attention.norm')
    const out = linear('attention.out', h, h)
    const up = linear('mlp.up', mlp.innerSize, h, 'mlp.norm')
    const down = linear('mlp.down', h, mlp.innerSize)
    const scale = attention.scales[k] ?? Number.NaN
    if (this.kernels.fused) {
      this.#linear(qkv, workspace.hidden, workspace.qkv, 'none')
      this.#attend(k, scale)
      this.#linear(out, workspace.attended, workspace.hidden, 'residual')
      this.#linear(up, workspace.hidden, workspace.inner, mlp.activation)
      this.#linear(down, workspace.inner, workspace.hidden, 'residual')
      return
    }
    const input = this.#post ? workspace.hidden : workspace.normed
    this.#linear(qkv, input, workspace.qkv, 'none')
    this.#attend(k, scale)
    const outSlices = this.#project(out, workspace.attended)
    this.#norm(name, this.#post ? 'attention.norm' : 'mlp.norm', norm.epsilon, out, outSlices)
    this.#linear(up, input, workspace.inner, mlp.activation)
    const downSlices = this.#project(down, workspace.inner)
    if (this.#post) {
      this.#norm(name, 'mlp.norm', norm.epsilon, down, downSlices)
    } else if (k + 1 < this.span.to) {
      this.#norm(`layer.${k + 1}`, 'attention.norm', norm.epsilon, down, downSlices)
    } else {
      this.#finish(down, downSlices)
    }
  }

  /** The final LayerNorm where no layer's end has computed it. */
  end(): void {
    const { final } = this.program.manifest
    const { fused } = this.kernels
    const { from, to } = this.span
    if ((this.#post || (fused && from < to)) && this.#finalNorm && final !== undefined) {
      this.#norm('final', 'norm', final.norm.epsilon, undefined, 0)
    }
  }

  pool(kind: Pooling, normalize: boolean, results: GPUBuffer, firstSequence: number): void {
    const { kernels, target } = this
    const constants = [this.#h, rowStride(this.#h) / 4, firstSequence, POOLING_KINDS[kind], Number(normalize)]
    const kernel = kernels.get('pool')
    const group = this.program.groups.create(kernel, target.uniforms, [
      target.workspace.sequences,
      this.output,
      results,
    ])
    this.recording.add(kernel, group, constants, [this.span.lengths.length], this.#rows * this.#h)
  }

  get #finalNorm(): boolean {
    return this.span.final && this.program.manifest.final !== undefined
  }

  /** The end of a span of a model whose LayerNorms come first: the residual sum, and the final LayerNorm where it belongs. */
  #finish(before: Linear | undefined, slices: number): void {
    const { final, layer } = this.program.manifest
    const last = `layer.${this.span.to - 1}`
    if (this.#finalNorm && final !== undefined) {
      this.#norm('final', 'norm', final.norm.epsilon, before, slices)
    } else {
      // The kernel that adds also normalises; nobody reads that here.
      this.#norm(last, 'attention.norm', layer.norm.epsilon, before, slices)
    }
  }

  #sequences(): void {
    const { attentionVariant } = this.kernels
    const { workspace } = this.target
    const { mask } = this.program.manifest.layer.attention
    const step = attentionVariant.kind === 'tile' ? attentionVariant.queries : 1
    const sequences: number[] = []
    const blocks: number[] = []
    let start = 0
    for (const [i, length] of this.span.lengths.entries()) {
      sequences.push(start, length)
      const end = start + length
      // Keys are numbered by rows of this run, or by positions in a cached sequence.
      const { past, row } = this.span.cached?.places[i] ?? { past: start, row: 0 }
      const [first, cachedKeys] = this.span.cached === undefined ? [start, 0] : [0, past]
      const shift = past - start
      for (let query = start; query < end; query += step) {
        const count = Math.min(step, end - query)
        const endKey = (mask === 'causal' ? query + count : end) + shift
        blocks.push(query, count, first, endKey, shift, cachedKeys, row, 0)
        this.#mostKeys = Math.max(this.#mostKeys, endKey - first)
        this.#pairs += count * (endKey - first)
      }
      start = end
    }
    this.#blocks = blocks.length / 8
    this.#device.queue.writeBuffer(workspace.sequences, 0, new Uint32Array(sequences))
    this.#device.queue.writeBuffer(workspace.blocks, 0, new Uint32Array(blocks))
  }

  #embed(tokens: Int32Array): void {
    const { workspace } = this.target
    const { embeddings } = this.program.manifest
    const ids = new Uint32Array(tokens.length * 2)
    let t = 0
    for (const [i, length] of this.span.lengths.entries()) {
      const past = this.span.cached?.places[i]?.past ?? 0
      for (let position = past; position < past + length; position++, t++) {
        ids[2 * t] = tokens[t] ?? 0
        ids[2 * t + 1] = position
      }
    }
    this.#device.queue.writeBuffer(workspace.ids, 0, ids)
    const unit = this.target.unit('embeddings')
    const positions = unit.tensor('positions')
    const { norm } = embeddings
    const types = embeddings.types === undefined ? positions : unit.tensor('types')
    for (const [i, { binding, firstRow, rows }] of unit.pieces('tokens').entries()) {
      this.#add(
        `embeddings.${i}`,
        this.kernels.get('embedding'),
        () => [
          workspace.ids,
          binding,
          positions,
          types,
          workspace.hidden,
          ...(norm === undefined ? [] : [unit.tensor('norm.weight'), unit.tensor('norm.bias')]),
        ],
        [this.#h, firstRow, rows, rowStride(this.#h) / 4, f32Bits(norm?.epsilon ?? 0)],
        [this.#rows],
        this.#rows * this.#h,
      )
    }
  }

  #unpack(hidden: Activations): void {
    const { workspace } = this.target
    const rowBytes = this.#h * (hidden.dtype === 'f16' ? 2 : 4)
    // Queue writes are multiples of 4 bytes; an odd number of halves is not.
    const padded = new Uint8Array(Math.ceil((this.#rows * rowBytes) / 4) * 4)
    padded.set(hidden.bytes)
    this.#device.queue.writeBuffer(workspace.message, 0, padded)
    this.#add(
      'unpack',
      this.kernels.get(`unpack ${hidden.dtype}`),
      () => [workspace.message, workspace.hidden],
      [this.#h, rowStride(this.#h)],
      [this.#rows],
      this.#rows * this.#h,
    )
  }

  /** hidden += slices + bias of what comes before, then the LayerNorm. */
  #norm(unitName: string, name: string, epsilon: number, before: Linear | undefined, slices: number): void {
    const { workspace } = this.target
    const unit = this.target.unit(unitName)
    this.#add(
      `${unitName}.${name} ${before?.key}`,
      this.kernels.get('residual norm'),
      () => {
        const weight = unit.tensor(`${name}.weight`)
        const bias = before?.unit.tensor(`${before.name}.bias`) ?? weight
        const normBias = unit.tensor(`${name}.bias`)
        return [workspace.partials, bias, weight, normBias, workspace.hidden, workspace.normed]
      },
      [this.#rows, this.#h, slices, rowStride(this.#h) / 4, f32Bits(epsilon)],
      [this.#rows],
      this.#rows * this.#h * (slices + NORM_OPERATIONS),
    )
  }

  #attend(k: number, scale: number): void {
    const { workspace } = this.target
    const { kernels, span } = this
    const { heads, headSize } = this.program.manifest.layer.attention
    const variant = kernels.attentionVariant
    const { kind } = variant
    let [splits, keys] = [1, 0]
    if (variant.kind === 'split') {
      const { size } = workspace.partials
      keys = variant.keys ?? splitKeys(this.#blocks, { heads, headSize }, this.#mostKeys, size)
      splits = Math.ceil(this.#mostKeys / keys)
    }
    const strides = [rowStride(3 * this.#h), rowStride(this.#h)]
    const constants = [headSize, this.#h, ...strides, f32Bits(scale), splits, keys]
    const cache = span.cached === undefined ? [] : [span.cached.layer(k)]
    this.#add(
      `${span.cached?.key(k) ?? ''}attention`,
      kernels.get('attention'),
      () => [
        workspace.blocks,
        workspace.qkv,
        workspace.attended,
        ...cache,
        ...(kind === 'split' ? [workspace.partials] : []),
      ],
      constants,
      [this.#blocks, kind === 'plain' ? Math.ceil(heads / PLAIN_HEADS) : heads, splits],
      4 * this.#pairs * this.#h,
    )
    if (splits > 1) {
      this.#add(
        'attention combine',
        kernels.get('attention combine'),
        () => [workspace.blocks, workspace.partials, workspace.attended],
        constants,
        [this.#blocks, heads],
        this.#blocks * this.#h * splits,
      )
    }
  }

  /** output = epilogue(input x weight^T + bias) */
  #linear(weights: Linear, input: GPUBuffer, output: GPUBuffer, epilogue: Epilogue): void {
    const { workspace } = this.target
    if (this.kernels.matmul.kind !== 'tile' || epilogue === 'residual') {
      this.#matmul(weights.key, this.kernels.get(`linear ${weights.in} ${epilogue}`), weights, input, output)
      return
    }
    const slices = this.#project(weights, input)
    const stride = rowStride(weights.out) / 4
    this.#add(
      `${weights.key} sum`,
      this.kernels.get(`sum ${epilogue}`),
      () => [workspace.partials, weights.unit.tensor(`${weights.name}.bias`), output],
      [this.#rows, weights.out, slices, stride],
      [Math.ceil(stride / SUM_THREADS), this.#rows],
      this.#rows * weights.out * slices,
    )
  }

  /** @returns how many slices of sums lie in `partials` */
  #project(weights: Linear, input: GPUBuffer): number {
    const kernel = this.kernels.get(`linear ${weights.in} undefined`)
    return this.#matmul(`${weights.key} slices`, kernel, weights, input, this.target.workspace.partials)
  }

  #matmul(key: string, kernel: Kernel, weights: Linear, input: GPUBuffer, output: GPUBuffer): number {
    const { unit, name, norm, in: columns, out } = weights
    const { dtype } = this.program
    const { constants, grid, slices } = matmulDispatch(this.kernels.matmul, dtype, {
      rows: this.#rows,
      columns,
      out,
      outputStride: rowStride(out),
      firstColumn: 0,
      mostSlices: Number.POSITIVE_INFINITY,
      ...(norm === undefined ? {} : { epsilon: this.program.manifest.layer.norm.epsilon }),
    })
    const bound = () => {
      const scales = dtype === 'q8' || dtype === 'q4' ? [unit.tensor(`${name}.weight.scales`)] : []
      const normed = norm === undefined ? [] : [unit.tensor(`${norm}.weight`), unit.tensor(`${norm}.bias`)]
      const [weight, bias] = [unit.tensor(`${name}.weight`), unit.tensor(`${name}.bias`)]
      return [input, weight, bias, output, ...scales, ...normed]
    }
    this.#add(key, kernel, bound, constants, grid, 2 * this.#rows * columns * out)
    return slices
  }

  #add(
    key: string,
    kernel: Kernel,
    resources: () => (GPUBuffer | GPUBufferBinding)[],
    constants: readonly number[],
    grid: Grid,
    operations: number,
  ): void {
    const group = this.program.groups.get(key, kernel, this.target.uniforms, resources)
    this.recording.add(kernel, group, constants, grid, operations)
  }
}
