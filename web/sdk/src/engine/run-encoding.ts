import type { Activation, Pooling } from '../client/manifest'
import type { Activations } from './batch'
import type { CachedSequences } from './kv-cache'
import { matmulDispatch } from './matmul-dispatch'
import type { Epilogue, Kernel } from './pipelines'
import { f32Bits, type Grid, Recording } from './recording'
import type { TailProgram } from './tail-program'
import type { UnitBuffers } from './unit-buffers'
import { type AttentionVariant, type ForcedVariants, type MatmulVariant, splitKeys } from './variants'
import { rowStride, type Workspace } from './workspace'

const POOLING_KINDS = { mean: 0, last: 1, cls: 2 } as const

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
  /** Where the sequences go on from what earlier spans left in a cache. */
  readonly cached?: CachedSequences
  /** Variants of kernels to take instead of those that the shape asks for. */
  readonly forced?: ForcedVariants
}

export interface RunTarget {
  readonly unit: (name: string) => UnitBuffers
  readonly workspace: Workspace
  readonly uniforms: GPUBuffer
  /** Layers that one submit takes. */
  readonly sliceLayers: number
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
  readonly name: string
  readonly weight: GPUBufferBinding
  readonly scales: GPUBufferBinding | undefined
  readonly bias: GPUBufferBinding
  /** Weight and bias of the LayerNorm that the input passes first, or nothing. */
  readonly norm: readonly GPUBufferBinding[]
  readonly in: number
  readonly out: number
}

/** One run on its way into a recording. */
export class RunEncoding {
  readonly recording = new Recording()
  readonly #h: number
  readonly #post: boolean
  readonly #rows: number
  readonly #device: GPUDevice
  #blocks = 0
  /** That a query sees. */
  #mostKeys = 0

  constructor(
    private readonly program: TailProgram,
    private readonly span: RunSpan,
    private readonly kernels: RunKernels,
    private readonly target: RunTarget,
  ) {
    const { hiddenSize, layer } = program.manifest
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
    if (this.kernels.fused) {
      this.#fusedLayer(k)
      return
    }
    const input = this.#post ? workspace.hidden : workspace.normed
    const h = this.#h
    this.#linear(name, this.#weights(name, 'attention.qkv', 3 * h, h), input, workspace.qkv, 'none')
    this.#attend(k, attention.scales[k] ?? Number.NaN)
    const out = this.#weights(name, 'attention.out', h, h)
    const outSlices = this.#project(`${name}.attention.out`, out, workspace.attended)
    const between = this.#post ? 'attention.norm' : 'mlp.norm'
    this.#norm(name, between, norm.epsilon, out.bias, outSlices)
    const up = this.#weights(name, 'mlp.up', mlp.innerSize, h)
    this.#linear(name, up, input, workspace.inner, mlp.activation)
    const down = this.#weights(name, 'mlp.down', h, mlp.innerSize)
    const downSlices = this.#project(`${name}.mlp.down`, down, workspace.inner)
    if (this.#post) {
      this.#norm(name, 'mlp.norm', norm.epsilon, down.bias, downSlices)
    } else if (k + 1 < this.span.to) {
      this.#norm(`layer.${k + 1}`, 'attention.norm', norm.epsilon, down.bias, downSlices, name)
    } else {
      this.#finish(down.bias, downSlices)
    }
  }

  /** Five dispatches, on the residual stream alone. */
  #fusedLayer(k: number): void {
    const { attention, mlp } = this.program.manifest.layer
    const { hidden, qkv, attended, inner } = this.target.workspace
    const name = `layer.${k}`
    const h = this.#h
    const linear = (
      weight: string,
      out: number,
      columns: number,
      input: GPUBuffer,
      output: GPUBuffer,
      epilogue: Epilogue,
      norm?: string,
    ) => {
      const weights = this.#weights(name, weight, out, columns, norm)
      const kernel = this.kernels.get(`linear ${columns} ${epilogue}`)
      this.#matmul(`${name}.${weight}`, kernel, weights, input, output)
    }
    linear('attention.qkv', 3 * h, h, hidden, qkv, 'none', 'attention.norm')
    this.#attend(k, attention.scales[k] ?? Number.NaN)
    linear('attention.out', h, h, attended, hidden, 'residual')
    linear('mlp.up', mlp.innerSize, h, hidden, inner, mlp.activation, 'mlp.norm')
    linear('mlp.down', h, mlp.innerSize, inner, hidden, 'residual')
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
    this.recording.add(kernel, group, constants, [this.span.lengths.length])
  }

  get #finalNorm(): boolean {
    return this.span.final && this.program.manifest.final !== undefined
  }

  /** The end of a span of a model whose LayerNorms come first: the residual sum, and the final LayerNorm where it belongs. */
  #finish(bias: GPUBufferBinding | undefined, slices: number): void {
    const { final, layer } = this.program.manifest
    const last = `layer.${this.span.to - 1}`
    if (this.#finalNorm && final !== undefined) {
      this.#norm('final', 'norm', final.norm.epsilon, bias, slices, last)
    } else {
      // The kernel that adds also normalises; nobody reads that here.
      this.#norm(last, 'attention.norm', layer.norm.epsilon, bias, slices, `${last} end`)
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
    const types = embeddings.types === undefined ? positions : unit.tensor('types')
    for (const [i, { binding, firstRow, rows }] of unit.pieces('tokens').entries()) {
      this.#add(
        `embeddings.${i}`,
        this.kernels.get('embedding'),
        () => [workspace.ids, binding, positions, types, workspace.hidden],
        [this.#h, firstRow, rows, rowStride(this.#h)],
        [this.#rows],
      )
    }
    if (embeddings.norm !== undefined) {
      this.#norm('embeddings', 'norm', embeddings.norm.epsilon, undefined, 0)
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
    )
  }

  /** @param norm of the input, where its LayerNorm is the matmul's own */
  #weights(unitName: string, name: string, out: number, columns: number, norm?: string): Linear {
    const unit = this.target.unit(unitName)
    const quantised = this.program.dtype === 'q8' || this.program.dtype === 'q4'
    return {
      name,
      weight: unit.tensor(`${name}.weight`),
      scales: quantised ? unit.tensor(`${name}.weight.scales`) : undefined,
      bias: unit.tensor(`${name}.bias`),
      norm: norm === undefined ? [] : [unit.tensor(`${norm}.weight`), unit.tensor(`${norm}.bias`)],
      in: columns,
      out,
    }
  }

  /** hidden += slices + bias, then the LayerNorm; `before` tells apart what runs before the same LayerNorm. */
  #norm(
    unitName: string,
    name: string,
    epsilon: number,
    bias: GPUBufferBinding | undefined,
    slices: number,
    before = '',
  ): void {
    const { workspace } = this.target
    const unit = this.target.unit(unitName)
    const weight = unit.tensor(`${name}.weight`)
    this.#add(
      `${unitName}.${name} ${before} ${slices > 0}`,
      this.kernels.get('residual norm'),
      () => [
        workspace.partials,
        bias ?? weight,
        weight,
        unit.tensor(`${name}.bias`),
        workspace.hidden,
        workspace.normed,
      ],
      [this.#rows, this.#h, slices, rowStride(this.#h) / 4, f32Bits(epsilon)],
      [this.#rows],
    )
  }

  #attend(k: number, scale: number): void {
    const { workspace } = this.target
    const { kernels, span } = this
    const { heads, headSize } = this.program.manifest.layer.attention
    const { kind } = kernels.attentionVariant
    const { splits, keys } =
      kind === 'split' ? splitKeys(this.#blocks, heads, this.#mostKeys) : { splits: 1, keys: 0 }
    const strides = [rowStride(3 * this.#h), rowStride(this.#h)]
    const constants = [headSize, this.#h, ...strides, f32Bits(scale), 0, splits, keys]
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
      [this.#blocks, kind === 'plain' ? Math.ceil(heads / 16) : heads, splits],
    )
    if (splits > 1) {
      this.#add(
        'attention combine',
        kernels.get('attention combine'),
        () => [workspace.blocks, workspace.partials, workspace.attended],
        constants,
        [this.#blocks, heads],
      )
    }
  }

  /** output = epilogue(input x weight^T + bias) */
  #linear(
    unit: string,
    weights: Linear,
    input: GPUBuffer,
    output: GPUBuffer,
    epilogue: Activation | 'none',
  ): void {
    const { workspace } = this.target
    const key = `${unit}.${weights.name}`
    if (this.kernels.matmul.kind !== 'tile') {
      this.#matmul(key, this.kernels.get(`linear ${weights.in} ${epilogue}`), weights, input, output)
      return
    }
    const slices = this.#project(key, weights, input)
    const stride = rowStride(weights.out) / 4
    this.#add(
      `${key} sum`,
      this.kernels.get(`sum ${epilogue}`),
      () => [workspace.partials, weights.bias, output],
      [this.#rows, weights.out, slices, stride],
      [Math.ceil(stride / 64), this.#rows],
    )
  }

  /** @returns how many slices of sums lie in `partials` */
  #project(key: string, weights: Linear, input: GPUBuffer): number {
    const kernel = this.kernels.get(`linear ${weights.in} undefined`)
    return this.#matmul(`${key} slices`, kernel, weights, input, this.target.workspace.partials)
  }

  #matmul(key: string, kernel: Kernel, weights: Linear, input: GPUBuffer, output: GPUBuffer): number {
    const { weight, scales, bias, norm, in: columns, out } = weights
    const { constants, grid, slices } = matmulDispatch(this.kernels.matmul, this.program.dtype, {
      rows: this.#rows,
      columns,
      out,
      outputStride: rowStride(out),
      firstColumn: 0,
      mostSlices: Number.POSITIVE_INFINITY,
      ...(norm.length > 0 ? { epsilon: this.program.manifest.layer.norm.epsilon } : {}),
    })
    const scaled = scales === undefined ? [] : [scales]
    this.#add(key, kernel, () => [input, weight, bias, output, ...scaled, ...norm], constants, grid)
    return slices
  }

  #add(
    key: string,
    kernel: Kernel,
    resources: () => (GPUBuffer | GPUBufferBinding)[],
    constants: readonly number[],
    grid: Grid,
  ): void {
    const group = this.program.groups.get(key, kernel, this.target.uniforms, resources)
    this.recording.add(kernel, group, constants, grid)
  }
}
