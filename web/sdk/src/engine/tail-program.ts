import type { Dtype, Manifest } from '../client/manifest'
import { storedColumns } from '../shards/unit-layout'
import type { Run, TailBatch } from './batch'
import { type Kernel, type MatmulVariant, type Pipelines, UNIFORM_SLOT } from './pipelines'
import { f32Bits, Recording } from './recording'
import type { UnitBuffers } from './unit-buffers'
import { rowStride, type Workspace } from './workspace'

/** Dispatches of a layer, and at most those around the layers when the tables are whole. */
const LAYER_DISPATCHES = 7
const OTHER_DISPATCHES = 64

const POOLING_KINDS = { mean: 0, last: 1, cls: 2 } as const

/** Columns and rows of outputs that one workgroup of the matmul computes. */
const MATMUL_COLUMNS = 64
const MATMUL_ROWS = 16

export interface RunTarget {
  readonly batch: TailBatch
  readonly run: Run
  readonly unit: (name: string) => UnitBuffers
  readonly workspace: Workspace
  readonly uniforms: GPUBuffer
  /** Rows of `resultStride` floats, a row for each sequence of the batch, or for each token without pooling. */
  readonly results: GPUBuffer
  readonly encoder: GPUCommandEncoder
}

interface Kernels {
  readonly plain: Kernel
  readonly activated: Kernel
  readonly accumulated: Kernel
  readonly down: Kernel
  readonly layerNorm: Kernel
  readonly attention: Kernel
  readonly embedding: Kernel
  readonly unpackF16: Kernel
  readonly unpackF32: Kernel
  readonly pool: Kernel
}

interface Linear {
  readonly weight: GPUBufferBinding
  readonly bias: GPUBufferBinding
  readonly in: number
  readonly out: number
}

/** What the manifest's description of a model comes to as dispatches. */
export class TailProgram {
  #kernels: Kernels | undefined

  constructor(
    private readonly pipelines: Pipelines,
    private readonly manifest: Manifest,
    private readonly dtype: Dtype,
  ) {}

  /** Uniform slots that the largest run takes. */
  get mostDispatches(): number {
    return this.manifest.layers * LAYER_DISPATCHES + OTHER_DISPATCHES
  }

  /** Floats from one result to the next. */
  resultStride(pooling: TailBatch['pooling']): number {
    return pooling === 'none' ? rowStride(this.manifest.hiddenSize) : this.manifest.hiddenSize
  }

  async compile(): Promise<void> {
    const { hiddenSize, layer } = this.manifest
    const f16 = this.dtype === 'f16'
    const matmul = (columns: number, rest: Pick<MatmulVariant, 'activation' | 'accumulate'>) =>
      this.pipelines.matmul({ f16, unaligned: !f16 && columns % 4 !== 0, ...rest })
    const [plain, activated, accumulated, down, layerNorm, attention, embedding, unpackF16, unpackF32, pool] =
      await Promise.all([
        matmul(hiddenSize, { activation: 'none', accumulate: false }),
        matmul(hiddenSize, { activation: layer.mlp.activation, accumulate: false }),
        matmul(hiddenSize, { activation: 'none', accumulate: true }),
        matmul(layer.mlp.innerSize, { activation: 'none', accumulate: true }),
        this.pipelines.layerNorm(),
        this.pipelines.attention(),
        this.pipelines.embedding(f16),
        this.pipelines.unpack(true),
        this.pipelines.unpack(false),
        this.pipelines.pool(),
      ])
    this.#kernels = {
      plain,
      activated,
      accumulated,
      down,
      layerNorm,
      attention,
      embedding,
      unpackF16,
      unpackF32,
      pool,
    }
  }

  /** Writes the run's inputs and records its dispatches. Everything it needs is compiled and on the device. */
  encode(target: RunTarget): void {
    const kernels = this.#kernels
    if (kernels === undefined) {
      throw new Error('compile() comes before encode().')
    }
    const { batch, run, workspace, uniforms, results, encoder } = target
    const { device } = this.pipelines
    const encoding = new RunEncoding(device, this.manifest, this.dtype, kernels, target)
    encoding.input()
    for (let k = batch.cut; k < this.manifest.layers; k++) {
      encoding.layer(k)
    }
    encoding.finalNorm()
    if (batch.pooling !== 'none') {
      encoding.pool(batch.pooling)
    }
    encoding.recording.encode(device, uniforms, encoder)
    if (batch.pooling === 'none') {
      const rowBytes = this.resultStride('none') * 4
      const bytes = run.tokens * rowBytes
      encoder.copyBufferToBuffer(workspace.normed, 0, results, run.firstToken * rowBytes, bytes)
    }
  }
}

/** One run on its way into a recording. */
class RunEncoding {
  readonly recording = new Recording()
  readonly #h: number

  constructor(
    private readonly device: GPUDevice,
    private readonly manifest: Manifest,
    private readonly dtype: Dtype,
    private readonly kernels: Kernels,
    private readonly target: RunTarget,
  ) {
    this.#h = manifest.hiddenSize
  }

  /** Fills the residual stream, and what tells the sequences apart. */
  input(): void {
    const { batch, run, workspace } = this.target
    const starts: number[] = []
    const sequences: number[] = []
    for (const length of run.lengths) {
      const start = starts.length
      sequences.push(start, length)
      for (let i = 0; i < length; i++) {
        starts.push(start)
      }
    }
    this.device.queue.writeBuffer(workspace.starts, 0, new Uint32Array(starts))
    this.device.queue.writeBuffer(workspace.sequences, 0, new Uint32Array(sequences))
    if (batch.hidden === undefined) {
      this.#embed(starts)
    } else {
      this.#unpack(batch.hidden)
    }
  }

  layer(k: number): void {
    const { attention, mlp, norm } = this.manifest.layer
    const { workspace } = this.target
    const unit = this.target.unit(`layer.${k}`)
    const { kernels } = this
    const h = this.#h
    const linear = (name: string, out: number, columns: number): Linear => ({
      weight: unit.tensor(`${name}.weight`),
      bias: unit.tensor(`${name}.bias`),
      in: columns,
      out,
    })
    this.#norm(unit, 'attention.norm', norm.epsilon)
    this.#matmul(kernels.plain, linear('attention.qkv', 3 * h, h), workspace.normed, workspace.qkv)
    this.#attend(attention.scales[k] ?? Number.NaN)
    this.#matmul(kernels.accumulated, linear('attention.out', h, h), workspace.attended, workspace.hidden)
    this.#norm(unit, 'mlp.norm', norm.epsilon)
    this.#matmul(kernels.activated, linear('mlp.up', mlp.innerSize, h), workspace.normed, workspace.inner)
    this.#matmul(kernels.down, linear('mlp.down', h, mlp.innerSize), workspace.inner, workspace.hidden)
  }

  finalNorm(): void {
    this.#norm(this.target.unit('final'), 'norm', this.manifest.final?.norm.epsilon ?? Number.NaN)
  }

  pool(kind: keyof typeof POOLING_KINDS): void {
    const { batch, run, workspace, results } = this.target
    this.#add(
      this.kernels.pool,
      [workspace.sequences, workspace.normed],
      results,
      [this.#h, rowStride(this.#h), run.firstSequence, POOLING_KINDS[kind], Number(batch.normalize)],
      [run.lengths.length, 1],
    )
  }

  #embed(starts: readonly number[]): void {
    const { batch, run, workspace } = this.target
    const ids = new Uint32Array(run.tokens * 2)
    for (const [i, start] of starts.entries()) {
      ids[2 * i] = batch.tokens[run.firstToken + i] ?? 0
      ids[2 * i + 1] = i - start
    }
    this.device.queue.writeBuffer(workspace.ids, 0, ids)
    const unit = this.target.unit('embeddings')
    const positions = unit.tensor('positions')
    for (const { binding, firstRow, rows } of unit.pieces('tokens')) {
      this.#add(
        this.kernels.embedding,
        [workspace.ids, binding, positions],
        workspace.hidden,
        [this.#h, firstRow, rows, rowStride(this.#h)],
        [run.tokens, 1],
      )
    }
  }

  #unpack(hidden: NonNullable<TailBatch['hidden']>): void {
    const { run, workspace } = this.target
    const rowBytes = this.#h * (hidden.dtype === 'f16' ? 2 : 4)
    const begin = run.firstToken * rowBytes
    const bytes = run.tokens * rowBytes
    // Queue writes are multiples of 4 bytes; an odd number of halves is not.
    const padded = new Uint8Array(Math.ceil(bytes / 4) * 4)
    padded.set(hidden.bytes.subarray(begin, begin + bytes))
    this.device.queue.writeBuffer(workspace.message, 0, padded)
    this.#add(
      hidden.dtype === 'f16' ? this.kernels.unpackF16 : this.kernels.unpackF32,
      [workspace.message],
      workspace.hidden,
      [this.#h, rowStride(this.#h)],
      [run.tokens, 1],
    )
  }

  #norm(unit: UnitBuffers, name: string, epsilon: number): void {
    const { run, workspace } = this.target
    this.#add(
      this.kernels.layerNorm,
      [workspace.hidden, unit.tensor(`${name}.weight`), unit.tensor(`${name}.bias`)],
      workspace.normed,
      [this.#h, rowStride(this.#h), f32Bits(epsilon)],
      [run.tokens, 1],
    )
  }

  #attend(scale: number): void {
    const { run, workspace } = this.target
    const { heads, headSize } = this.manifest.layer.attention
    this.#add(
      this.kernels.attention,
      [workspace.starts, workspace.qkv],
      workspace.attended,
      [headSize, this.#h, rowStride(3 * this.#h), rowStride(this.#h), f32Bits(scale)],
      [run.tokens, heads],
    )
  }

  #matmul(
    kernel: Kernel,
    { weight, bias, in: columns, out }: Linear,
    input: GPUBuffer,
    output: GPUBuffer,
  ): void {
    const { run } = this.target
    const stored = storedColumns(columns, this.dtype)
    // An f16 step is one vec4 of 16 bytes; unaligned f32 rows are addressed in words.
    const f32Stride = stored % 4 === 0 ? stored / 4 : stored
    const weightStride = this.dtype === 'f16' ? stored / 8 : f32Stride
    this.#add(
      kernel,
      [input, weight, bias],
      output,
      [run.tokens, out, Math.ceil(columns / 8), weightStride, rowStride(columns) / 4, rowStride(out)],
      [Math.ceil(out / MATMUL_COLUMNS), Math.ceil(run.tokens / MATMUL_ROWS)],
    )
  }

  #add(
    kernel: Kernel,
    inputs: readonly (GPUBuffer | GPUBufferBinding)[],
    output: GPUBuffer,
    constants: number[],
    groups: readonly [number, number],
  ): void {
    const bindings = [...inputs, output].map((input) => ('buffer' in input ? input : { buffer: input }))
    const group = this.device.createBindGroup({
      layout: kernel.layout,
      entries: [
        { binding: 0, resource: { buffer: this.target.uniforms, size: UNIFORM_SLOT } },
        ...bindings.map((resource, i) => ({ binding: i + 1, resource })),
      ],
    })
    this.recording.add(kernel, group, constants, groups)
  }
}
