import type { Dtype, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import type { Tensor } from '../shards/safetensors'
import { type Run, splitIntoRuns, type TailBatch } from './batch'
import { allocate } from './gpu'
import { Pipelines, UNIFORM_SLOT } from './pipelines'
import { TailProgram } from './tail-program'
import { UnitBuffers } from './unit-buffers'
import { allocateWorkspace, type Workspace, workspaceBytes, workspaceTokens } from './workspace'

/** The layers of one model on one GPU device: holds their weights and runs the tail of a batch. */
export class TailEngine {
  readonly #program: TailProgram
  readonly #units = new Map<string, UnitBuffers>()
  readonly #uniforms: GPUBuffer
  #workspace: { readonly tokens: number; readonly buffers: Workspace } | undefined
  /** Batches run one after the other: they share the workspace. */
  #turn: Promise<unknown> = Promise.resolve()

  /**
   * @param mostTokens of one run, unless a single sequence is longer
   * @param bufferLimit most bytes of one buffer and of one binding
   */
  constructor(
    readonly device: GPUDevice,
    private readonly manifest: Manifest,
    dtype: Dtype,
    private readonly mostTokens: number,
    private readonly bufferLimit = Math.min(
      device.limits.maxBufferSize,
      device.limits.maxStorageBufferBindingSize,
    ),
  ) {
    this.#program = new TailProgram(new Pipelines(device), manifest, dtype)
    this.#uniforms = device.createBuffer({
      label: 'uniforms',
      size: this.#program.mostDispatches * UNIFORM_SLOT,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    })
  }

  /** Bytes of weights on the GPU, and of the largest workspace that a run may ask for. */
  get bytes(): number {
    const weights = [...this.#units.values()].reduce((sum, unit) => sum + unit.bytes, 0)
    return weights + workspaceBytes(this.manifest, this.mostTokens)
  }

  /** Compiles every kernel of the program; a run that comes earlier waits for those that it needs. */
  async compile(): Promise<void> {
    await this.#program.compile()
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
    this.#units.get(unit)?.destroy()
    this.#units.set(unit, buffers)
  }

  /**
   * Runs the layers from `batch.cut` on, the final LayerNorm and the pooling.
   *
   * @returns for each sequence its vector `[hiddenSize]`, or without pooling its rows `[tokens, hiddenSize]`
   * @throws SplitComputeError `device_lost`, `out_of_memory`, `wrong_result`; the signal's reason once it aborts
   */
  run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]> {
    const result = this.#turn.then(() => this.#run(batch, signal))
    this.#turn = result.catch(() => undefined)
    return result
  }

  destroy(): void {
    for (const unit of this.#units.values()) {
      unit.destroy()
    }
    this.#units.clear()
    this.#destroyWorkspace()
    this.#uniforms.destroy()
    this.device.destroy()
  }

  async #run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]> {
    signal.throwIfAborted()
    const runs = splitIntoRuns(batch.lengths, this.mostTokens)
    const workspace = await this.#room(Math.max(...runs.map(({ tokens }) => tokens)))
    const rows = batch.pooling === 'none' ? batch.tokens.length : batch.lengths.length
    const size = rows * this.#program.resultStride(batch.pooling) * 4
    const [results, readback] = await allocate(this.device, [
      {
        label: 'results',
        size,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
      },
      { label: 'readback', size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST },
    ])
    if (results === undefined || readback === undefined) {
      throw new SplitComputeError('out_of_memory', 'The GPU gave no room for the results.')
    }
    try {
      await this.#program.compile()
      signal.throwIfAborted()
      await this.#submit(batch, runs, workspace, results, readback)
      signal.throwIfAborted()
      const values = new Float32Array(readback.getMappedRange().slice(0))
      return this.#split(values, batch)
    } finally {
      results.destroy()
      readback.destroy()
    }
  }

  /** Submits every run and waits until the results can be read. */
  async #submit(
    batch: TailBatch,
    runs: readonly Run[],
    workspace: Workspace,
    results: GPUBuffer,
    readback: GPUBuffer,
  ): Promise<void> {
    const { device } = this
    // A dispatch that fails validation writes nothing: without this, zeros would pass as an answer.
    device.pushErrorScope('validation')
    device.pushErrorScope('out-of-memory')
    let scopes: Promise<(GPUError | null)[]>
    try {
      this.#encode(batch, runs, workspace, results, readback)
    } finally {
      scopes = Promise.all([device.popErrorScope(), device.popErrorScope()])
    }
    try {
      const [errors] = await Promise.all([scopes, readback.mapAsync(GPUMapMode.READ)])
      const error = errors.find((found) => found !== null)
      if (error) {
        throw new SplitComputeError('wrong_result', `The GPU refused the work: ${error.message}`)
      }
    } catch (cause) {
      if (cause instanceof SplitComputeError) {
        throw cause
      }
      throw new SplitComputeError('device_lost', 'The GPU was lost during the run.', { cause })
    }
  }

  #encode(
    batch: TailBatch,
    runs: readonly Run[],
    workspace: Workspace,
    results: GPUBuffer,
    readback: GPUBuffer,
  ): void {
    const { device } = this
    for (const run of runs) {
      const encoder = device.createCommandEncoder()
      const unit = (name: string) => this.#unit(name)
      this.#program.encode({ batch, run, unit, workspace, uniforms: this.#uniforms, results, encoder })
      if (run === runs.at(-1)) {
        encoder.copyBufferToBuffer(results, 0, readback, 0, readback.size)
      }
      device.queue.submit([encoder.finish()])
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
