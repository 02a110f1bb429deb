import type { Dtype, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import type { Tensor } from '../shards/safetensors'
import { type Run, splitIntoRuns, type TailBatch } from './batch'
import { canaryInput, canaryRows, canaryTokens, checkAnswer } from './canary'
import { allocate } from './gpu'
import { Pipelines } from './pipelines'
import type { RunEncoding, RunKernels, RunSpan } from './run-encoding'
import { TailProgram, uniformBytes } from './tail-program'
import { UnitBuffers } from './unit-buffers'
import type { ForcedVariants } from './variants'
import { allocateWorkspace, type Workspace, workspaceBytes, workspaceTokens } from './workspace'

/** Rows whose kernels `compile` prepares: a single token's, and those of a short and of a long text. */
const COMPILED_ROWS = [64, 256, 16, 1]

/** Operations a second that a device is given credit for before it has run anything. */
const ASSUMED_SPEED = 2e11

/** Result buffers up to this size are kept for the next run. */
const KEPT_BYTES = 4 * 1024 * 1024

/** A submit longer than this may be taken for a hang by the system's watchdog. */
const SLICE_SECONDS = 0.05

/** The layers of one model on one GPU device: holds their weights and runs the tail of a batch. */
export class TailEngine {
  readonly #program: TailProgram
  readonly #units = new Map<string, UnitBuffers>()
  readonly #uniforms: GPUBuffer
  #workspace: { readonly tokens: number; readonly buffers: Workspace } | undefined
  /** Batches are submitted one after the other: they share the workspace, and the queue keeps their order. */
  #turn: Promise<unknown> = Promise.resolve()
  #speed = ASSUMED_SPEED
  /** When the last answer came. */
  #answered = 0
  #kept: ResultBuffers | undefined
  #destroyed = false

  /**
   * @param mostTokens of one run, unless a single sequence is longer
   * @param bufferLimit most bytes of one buffer and of one binding
   * @param forced variants of kernels to take whatever the shape
   */
  constructor(
    readonly device: GPUDevice,
    private readonly manifest: Manifest,
    private readonly dtype: Dtype,
    private readonly mostTokens: number,
    private readonly bufferLimit = Math.min(
      device.limits.maxBufferSize,
      device.limits.maxStorageBufferBindingSize,
    ),
    forced: ForcedVariants = {},
  ) {
    this.#program = new TailProgram(new Pipelines(device), manifest, dtype, forced)
    this.#uniforms = device.createBuffer({
      label: 'uniforms',
      size: uniformBytes(this.#program.mostDispatches),
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    })
  }

  /** Bytes of weights on the GPU, and of the largest workspace that a run may ask for. */
  get bytes(): number {
    const weights = [...this.#units.values()].reduce((sum, unit) => sum + unit.bytes, 0)
    return weights + workspaceBytes(this.manifest, this.mostTokens)
  }

  /** The variant of each kernel that this device takes, by kernel and shape. */
  describe(): Readonly<Record<string, string>> {
    return this.#program.describe()
  }

  /** Compiles the kernels of common shapes; a run that comes earlier waits for those that it needs. */
  async compile(): Promise<void> {
    for (const rows of COMPILED_ROWS) {
      await this.#program.kernels(rows, rows)
    }
  }

  /**
   * Allocates a unit's buffers. The caller fills them, then hands them to `attach` or destroys them.
   *
   * @throws SplitComputeError `out_of_memory`, `limit_exceeded`
   */
  allocate(unit: string, tensors: readonly Tensor[], dataBytes: number): Promise<UnitBuffers> {
    return UnitBuffers.allocate(this.device, unit, tensors, dataBytes, this.bufferLimit)
  }

  /** From now on runs find this unit here. */
  attach(unit: string, buffers: UnitBuffers): void {
    this.detach(unit)
    this.#units.set(unit, buffers)
  }

  /** Frees a unit. What was submitted before still runs with it. */
  detach(unit: string): void {
    this.#units.get(unit)?.destroy()
    this.#units.delete(unit)
    this.#program.groups.clear()
  }

  /**
   * Runs the layers from `batch.cut` on, the final LayerNorm and the pooling. Batches may be given while others run: the GPU takes
   * them in turn without a pause.
   *
   * @returns for each sequence its vector `[hiddenSize]`, or without pooling its rows `[tokens, hiddenSize]`
   * @throws SplitComputeError `device_lost`, `out_of_memory`, `wrong_result`; the signal's reason once it aborts
   */
  async run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]> {
    const rows = batch.pooling === 'none' ? batch.tokens.length : batch.lengths.length
    const size = rows * this.#program.resultStride(batch.pooling) * 4
    const runs = splitIntoRuns(batch.lengths, this.mostTokens)
    const spans = runs.map((run) => this.#span(batch, run))
    const values = await this.#compute(spans, size, signal, (results, encoding, i) => {
      const run = runs[i]
      if (run === undefined) {
        return
      }
      if (batch.pooling === 'none') {
        return { from: 0, rows: run.tokens, to: run.firstToken }
      }
      encoding.pool(batch.pooling, batch.normalize, results, run.firstSequence)
      return
    })
    return this.#split(values, batch)
  }

  /**
   * Runs the canary of an attached unit; one whose shard has none passes.
   *
   * @throws SplitComputeError `canary_failed`, `invalid_argument` for `lm_head`; what `run` throws
   */
  async check(unit: string, signal: AbortSignal): Promise<void> {
    const { manifest } = this
    if (unit === 'lm_head') {
      throw new SplitComputeError('invalid_argument', 'Runs do not use "lm_head" yet, so it has no check.')
    }
    const canary = manifest.units.get(unit)?.get(this.dtype)?.canary
    if (canary === undefined) {
      return
    }
    const layer = /^layer\.(\d+)$/.exec(unit)?.[1]
    const from = layer === undefined ? manifest.layers : Number(layer)
    const rows = canaryRows(manifest)
    const input: RunSpan['input'] =
      unit === 'embeddings'
        ? canaryTokens(canary, manifest)
        : { dtype: 'f32', bytes: new Uint8Array(canaryInput(canary, manifest).buffer) }
    const to = layer === undefined ? from : from + 1
    const span = { lengths: [rows], input, from, to, final: unit === 'final' }
    const size = this.#program.resultStride('none') * 4
    const values = await this.#compute([span], size, signal, () => ({ from: rows - 1, rows: 1, to: 0 }))
    checkAnswer(unit, canary, values.subarray(0, manifest.hiddenSize))
  }

  destroy(): void {
    for (const unit of this.#units.values()) {
      unit.destroy()
    }
    this.#units.clear()
    this.#destroyed = true
    this.#destroyWorkspace()
    this.#destroyKept()
    this.#uniforms.destroy()
    this.device.destroy()
  }

  #span(batch: TailBatch, { firstToken, tokens, lengths }: Run): RunSpan {
    const { cut, hidden } = batch
    let input: RunSpan['input'] = batch.tokens.subarray(firstToken, firstToken + tokens)
    if (hidden !== undefined) {
      const rowBytes = this.manifest.hiddenSize * (hidden.dtype === 'f16' ? 2 : 4)
      const bytes = hidden.bytes.subarray(firstToken * rowBytes, (firstToken + tokens) * rowBytes)
      input = { dtype: hidden.dtype, bytes }
    }
    return { lengths, input, from: cut, to: this.manifest.layers, final: true }
  }

  /**
   * Takes its turn to submit the spans, then waits for the results.
   *
   * @param size bytes of the results
   * @param finish told of each span when its layers are recorded; gives the rows of its output to copy to the results, if any
   */
  async #compute(
    spans: readonly RunSpan[],
    size: number,
    signal: AbortSignal,
    finish: (results: GPUBuffer, encoding: RunEncoding, i: number) => CopiedRows | undefined,
  ): Promise<Float32Array> {
    const turn = this.#turn.then(async () => {
      signal.throwIfAborted()
      const workspace = await this.#room(Math.max(...spans.map(tokensOf)))
      const kernels: RunKernels[] = []
      for (const span of spans) {
        kernels.push(await this.#program.kernels(tokensOf(span), Math.max(...span.lengths)))
      }
      const buffers = await this.#resultBuffers(size)
      const errors = this.#validated(() => {
        signal.throwIfAborted()
        for (const [i, span] of spans.entries()) {
          this.#submit(span, kernels[i] as RunKernels, workspace, buffers.results, (encoding) =>
            finish(buffers.results, encoding, i),
          )
        }
        const encoder = this.device.createCommandEncoder()
        encoder.copyBufferToBuffer(buffers.results, 0, buffers.readback, 0, size)
        this.device.queue.submit([encoder.finish()])
      })
      return { buffers, errors }
    })
    this.#turn = turn.catch(() => undefined)
    const { buffers, errors } = await turn
    const { readback } = buffers
    const began = performance.now()
    try {
      const [error] = await Promise.all([errors, readback.mapAsync(GPUMapMode.READ, 0, size)])
      if (error !== undefined) {
        throw new SplitComputeError('wrong_result', `The GPU refused the work: ${error.message}`)
      }
      signal.throwIfAborted()
      // Behind others a batch has waited for them first.
      this.#learnSpeed(spans, Math.max(began, this.#answered))
      this.#answered = performance.now()
      return new Float32Array(readback.getMappedRange(0, size).slice(0))
    } catch (cause) {
      if (cause instanceof SplitComputeError || signal.aborted) {
        throw cause
      }
      throw new SplitComputeError('device_lost', 'The GPU was lost during the run.', { cause })
    } finally {
      if (readback.mapState === 'mapped') {
        readback.unmap()
      }
      this.#release(buffers)
    }
  }

  /** Buffers for results of so many bytes: those of the last run where they fit, for to allocate takes a turn of the GPU's process. */
  async #resultBuffers(size: number): Promise<ResultBuffers> {
    const kept = this.#kept
    if (kept !== undefined && kept.readback.size >= size) {
      this.#kept = undefined
      return kept
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const [results, readback] = await allocate(this.device, [
      { label: 'results', size, usage },
      { label: 'readback', size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST },
    ])
    if (results === undefined || readback === undefined) {
      throw new SplitComputeError('out_of_memory', 'The GPU gave no room for the results.')
    }
    return { results, readback }
  }

  #release(buffers: ResultBuffers): void {
    const { results, readback } = buffers
    const keep = !this.#destroyed && readback.mapState === 'unmapped' && readback.size <= KEPT_BYTES
    if (keep && readback.size > (this.#kept?.readback.size ?? 0)) {
      this.#destroyKept()
      this.#kept = buffers
    } else {
      results.destroy()
      readback.destroy()
    }
  }

  #destroyKept(): void {
    this.#kept?.results.destroy()
    this.#kept?.readback.destroy()
    this.#kept = undefined
  }

  /** The first error of `work`: a dispatch that fails validation writes nothing, and zeros would pass as an answer. */
  async #validated(work: () => void): Promise<GPUError | undefined> {
    const { device } = this
    device.pushErrorScope('validation')
    device.pushErrorScope('out-of-memory')
    let scopes: Promise<(GPUError | null)[]>
    try {
      work()
    } finally {
      scopes = Promise.all([device.popErrorScope(), device.popErrorScope()])
    }
    return (await scopes).find((error) => error !== null) ?? undefined
  }

  #submit(
    span: RunSpan,
    kernels: RunKernels,
    workspace: Workspace,
    results: GPUBuffer,
    finish: (encoding: RunEncoding) => CopiedRows | undefined,
  ): void {
    const { device } = this
    const seconds = this.#operations(span) / Math.max(1, span.to - span.from) / this.#speed
    const encoding = this.#program.encode(span, kernels, {
      unit: (name) => this.#unit(name),
      workspace,
      uniforms: this.#uniforms,
      sliceLayers: Math.max(1, Math.floor(SLICE_SECONDS / seconds)),
    })
    const copied = finish(encoding)
    const encoders = encoding.recording.encode(device, this.#uniforms)
    if (copied !== undefined) {
      const rowBytes = this.#program.resultStride('none') * 4
      const { from, rows, to } = copied
      encoders
        .at(-1)
        ?.copyBufferToBuffer(encoding.output, from * rowBytes, results, to * rowBytes, rows * rowBytes)
    }
    for (const encoder of encoders) {
      device.queue.submit([encoder.finish()])
    }
  }

  /** Multiplications and additions of a span's matmuls. */
  #operations(span: RunSpan): number {
    const { hiddenSize: h, layer } = this.manifest
    return 2 * tokensOf(span) * (span.to - span.from) * (4 * h * h + 2 * h * layer.mlp.innerSize)
  }

  #learnSpeed(spans: readonly RunSpan[], began: number): void {
    const operations = spans.reduce((sum, span) => sum + this.#operations(span), 0)
    if (operations > 0) {
      const speed = operations / ((performance.now() - began) / 1_000 + 1e-6)
      this.#speed = (this.#speed + speed) / 2
    }
  }

  #split(values: Float32Array, batch: TailBatch): Float32Array[] {
    const columns = this.manifest.hiddenSize
    const stride = this.#program.resultStride(batch.pooling)
    let row = 0
    return Array.from(batch.lengths, (length) => {
      const rows = batch.pooling === 'none' ? length : 1
      const answer = new Float32Array(rows * columns)
      for (let r = 0; r < rows; r++, row++) {
        answer.set(values.subarray(row * stride, row * stride + columns), r * columns)
      }
      if (!answer.every(Number.isFinite)) {
        throw new SplitComputeError('wrong_result', 'The GPU computed values that are not finite.')
      }
      return answer
    })
  }

  #unit(name: string): UnitBuffers {
    const unit = this.#units.get(name)
    if (unit === undefined) {
      throw new SplitComputeError('invalid_argument', `${name} is not on the device.`)
    }
    return unit
  }

  async #room(tokens: number): Promise<Workspace> {
    if (this.#workspace === undefined || this.#workspace.tokens < tokens) {
      this.#destroyWorkspace()
      const room = workspaceTokens(tokens, this.mostTokens)
      this.#workspace = { tokens: room, buffers: await allocateWorkspace(this.device, this.manifest, room) }
      this.#program.groups.clear()
    }
    return this.#workspace.buffers
  }

  #destroyWorkspace(): void {
    for (const buffer of Object.values(this.#workspace?.buffers ?? {})) {
      buffer.destroy()
    }
    this.#workspace = undefined
  }
}

interface ResultBuffers {
  readonly results: GPUBuffer
  readonly readback: GPUBuffer
}

/** Rows of a run's output, and where they go in the results. */
interface CopiedRows {
  readonly from: number
  readonly rows: number
  readonly to: number
}

function tokensOf({ lengths }: RunSpan): number {
  return lengths.reduce((sum, length) => sum + length, 0)
}
