import type { Dtype, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import type { Tensor } from '../shards/safetensors'
import { check, checkInput, finiteRows, type Run, splitIntoRuns, type TailBatch } from './batch'
import { bindingLimit } from './gpu'
import { KvCache } from './kv-cache'
import { LogitsEncoding } from './logits-encoding'
import { LogitsMemory } from './logits-memory'
import { Pipelines } from './pipelines'
import { Proof } from './proof'
import type { RunSpan } from './run-encoding'
import { RunQueue } from './run-queue'
import { TailSession } from './session'
import { TailProgram } from './tail-program'
import { UnitBuffers } from './unit-buffers'
import type { ForcedVariants } from './variants'
import { workspaceBytes } from './workspace'

/** Rows whose kernels `compile` prepares: a single token's, and those of short and long texts, the most frequent first. */
const COMPILED_ROWS = [64, 256, 16, 1, 1_024]

export interface EngineOptions {
  /** Most bytes of one buffer and of one binding. */
  readonly bufferLimit?: number
  /** Most bytes of weights, workspace, keys and values together. */
  readonly memory?: number
  /** Variants of kernels to take whatever the shape. */
  readonly forced?: ForcedVariants
  /** Operations a second that the device is given credit for before it has run anything. */
  readonly speed?: number
}

/** The layers of one model on one GPU device: holds their weights and runs the tail of a batch. */
export class TailEngine {
  readonly #program: TailProgram
  readonly #units = new Map<string, UnitBuffers>()
  readonly #proof: Proof
  readonly #sessions = new Map<TailSession, KvCache>()
  readonly #bufferLimit: number
  readonly #memory: number
  readonly #logitsMemory: LogitsMemory
  readonly #queue: RunQueue

  /** @param mostTokens of one run, unless a single sequence is longer */
  constructor(
    readonly device: GPUDevice,
    private readonly manifest: Manifest,
    dtype: Dtype,
    private readonly mostTokens: number,
    { bufferLimit = bindingLimit(device), memory, forced = {}, speed }: EngineOptions = {},
  ) {
    this.#bufferLimit = bufferLimit
    this.#memory = memory ?? Number.POSITIVE_INFINITY
    this.#logitsMemory = new LogitsMemory(device, manifest, this.#bufferLimit)
    this.#program = new TailProgram(new Pipelines(device), manifest, dtype, forced)
    this.#queue = new RunQueue(this.#program, mostTokens, (name) => this.#unit(name), speed)
    this.#proof = new Proof({
      manifest,
      dtype,
      choice: this.#program.choice,
      attached: (name) => this.#units.has(name),
      compute: (...work) => this.#queue.run(...work),
      logits: (rows, variants) => this.#logits(rows, variants),
      cache: (from, to) => this.#cache(from, to, 1),
    })
  }

  /** Bytes of weights on the GPU, of the largest workspace that a run may ask for, and of the sessions' keys and values. */
  get bytes(): number {
    const { manifest, mostTokens } = this
    const weights = [...this.#units.values()].reduce((sum, unit) => sum + unit.bytes, 0)
    const logits = this.#units.has('lm_head') ? this.#logitsMemory.bytes : 0
    const sessions = [...this.#sessions.values()].reduce((sum, cache) => sum + cache.bytes, 0)
    return weights + workspaceBytes(manifest, mostTokens) + logits + sessions
  }

  /** The variant of each kernel that this device takes, over the sizes for which it does, and those that compute wrong on it. */
  describe(): Readonly<Record<string, string>> {
    return this.#program.choice.describe(this.mostTokens, this.#logitsMemory.rows)
  }

  /** Compiles the kernels of common shapes and proves them; a run that comes earlier waits for those that it needs. */
  async compile(): Promise<void> {
    const inputs = ['f16', 'f32', 'tokens'] as const
    for (const rows of COMPILED_ROWS.filter((rows) => rows <= this.mostTokens)) {
      const longest = Math.min(rows, this.manifest.maxTokens)
      await this.#program.kernels({ rows, longest, inputs, layers: true, cached: false, pooled: true })
      await this.#proof.ready(rows, longest)
    }
  }

  /**
   * Allocates a unit's buffers. The caller fills them, then hands them to `attach` or destroys them.
   *
   * @throws SplitComputeError `out_of_memory`, `limit_exceeded`
   */
  allocate(unit: string, tensors: readonly Tensor[], dataBytes: number): Promise<UnitBuffers> {
    return UnitBuffers.allocate(this.device, unit, tensors, dataBytes, this.#bufferLimit)
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
   * @returns for each sequence its vector `[hiddenSize]`, or without pooling its rows `[tokens, hiddenSize]`; empty for one of which
   *   the GPU computed values that are not finite
   * @throws SplitComputeError `invalid_argument`, `device_lost`, `out_of_memory`, `limit_exceeded`, `canary_failed` where a kernel
   *   does not run here, `wrong_result` where no sequence is finite; the signal's reason once it aborts
   */
  async run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]> {
    this.#check(batch)
    const rows = batch.pooling === 'none' ? batch.tokens.length : batch.lengths.length
    const size = rows * this.#program.resultStride(batch.pooling) * 4
    const runs = splitIntoRuns(batch.lengths, this.mostTokens)
    const spans = runs.map((run) => this.#span(batch, run))
    const values = await this.#compute(spans, size, signal, (results, encoding, i) => {
      const run = runs[i]
      if (run === undefined) {
        return []
      }
      if (batch.pooling === 'none') {
        return [{ from: 0, rows: run.tokens, to: run.firstToken }]
      }
      encoding.pool(batch.pooling, batch.normalize, results, run.firstSequence)
      return []
    })
    return this.#split(values, batch)
  }

  /**
   * Begins sequences that grow step by step; layers `[cut, layers)` keep their keys and values until `close`.
   *
   * @param sequences that steps may have tokens for
   * @throws SplitComputeError `unsupported_model` where tokens see what comes behind them, `invalid_argument`, `canary_failed`
   */
  async session(cut: number, sequences: number, signal: AbortSignal): Promise<TailSession> {
    const { manifest } = this
    const { layers, layer } = manifest
    if (layer.attention.mask !== 'causal') {
      throw new SplitComputeError('unsupported_model', 'Only models with a causal mask go on token by token.')
    }
    this.#checkCut(cut)
    check(Number.isInteger(sequences) && sequences >= 1, `"sequences" must be at least 1, not ${sequences}.`)
    const tail = Array.from({ length: layers - cut }, (_, i) => cut + i)
    await this.#proof.checkSteps(
      tail.filter((k) => this.#units.has(`layer.${k}`)),
      signal,
    )
    const cache = this.#cache(cut, layers, sequences)
    const host = {
      manifest,
      mostTokens: this.mostTokens,
      compute: this.#compute.bind(this),
      logits: (rows: number) => this.#logits(rows),
      closed: (closed: TailSession) => this.#sessions.delete(closed),
    }
    const session = new TailSession(host, cache, cut, sequences)
    this.#sessions.set(session, cache)
    return session
  }

  /**
   * Runs the canary of an attached unit; one whose shard has none passes. A kernel's variant that computes it wrong is dropped for
   * another where there is one.
   *
   * @throws SplitComputeError `canary_failed`; what `run` throws
   */
  async check(unit: string, signal: AbortSignal): Promise<void> {
    await this.#proof.check(unit, signal)
  }

  destroy(): void {
    for (const session of this.#sessions.keys()) {
      session.close()
    }
    for (const unit of this.#units.values()) {
      unit.destroy()
    }
    this.#units.clear()
    this.#logitsMemory.destroy()
    this.#queue.destroy()
    this.device.destroy()
  }

  /** Runs spans with kernels that are proved. */
  async #compute(...work: Parameters<RunQueue['run']>): Promise<Float32Array> {
    const [spans] = work
    for (const { lengths } of spans) {
      const rows = lengths.reduce((sum, length) => sum + length, 0)
      await this.#proof.ready(rows, Math.max(...lengths))
    }
    return this.#queue.run(...work)
  }

  #check(batch: TailBatch): void {
    const { maxTokens } = this.manifest
    this.#checkCut(batch.cut)
    checkInput(batch, this.manifest)
    check(
      batch.lengths.every((length) => length >= 1 && length <= maxTokens),
      `"lengths" must be from 1 to ${maxTokens}, the context of this model.`,
    )
  }

  #checkCut(cut: number): void {
    const { layers } = this.manifest
    check(
      Number.isInteger(cut) && cut >= 0 && cut <= layers,
      `"cut" must be from 0 to ${layers}, not ${cut}.`,
    )
  }

  #span(batch: TailBatch, { firstToken, tokens, lengths }: Run): RunSpan {
    const { cut, hidden } = batch
    let input: RunSpan['input'] = batch.tokens.subarray(firstToken, firstToken + tokens)
    if (hidden !== undefined) {
      const rowBytes = this.manifest.hiddenSize * (hidden.dtype === 'f16' ? 2 : 4)
      const bytes = hidden.bytes.subarray(firstToken * rowBytes, (firstToken + tokens) * rowBytes)
      input = { dtype: hidden.dtype, bytes }
    }
    const pooled = batch.pooling !== 'none'
    return { lengths, input, from: cut, to: this.manifest.layers, final: true, pooled }
  }

  #split(values: Float32Array, batch: TailBatch): Float32Array[] {
    const columns = this.manifest.hiddenSize
    const stride = this.#program.resultStride(batch.pooling)
    let row = 0
    const answers = Array.from(batch.lengths, (length) => {
      const rows = batch.pooling === 'none' ? length : 1
      const answer = new Float32Array(rows * columns)
      for (let r = 0; r < rows; r++, row++) {
        answer.set(values.subarray(row * stride, row * stride + columns), r * columns)
      }
      return answer
    })
    return finiteRows(answers)
  }

  #unit(name: string): UnitBuffers {
    const unit = this.#units.get(name)
    if (unit === undefined) {
      throw new SplitComputeError('invalid_argument', `${name} is not on the device.`)
    }
    return unit
  }

  #cache(from: number, to: number, sequences: number): KvCache {
    const { hiddenSize, maxTokens: mostTokens } = this.manifest
    const shape = { from, to, hiddenSize, sequences, mostTokens, bufferLimit: this.#bufferLimit }
    return new KvCache(shape, {
      device: this.device,
      claim: (bytes) => this.#claim(bytes),
      forget: (key) => this.#program.groups.forget(key),
    })
  }

  #claim(bytes: number): void {
    if (this.bytes + bytes > this.#memory) {
      throw new SplitComputeError(
        'out_of_memory',
        `${bytes} bytes and the ${this.bytes} bytes in use exceed the memory of ${this.#memory} bytes.`,
      )
    }
  }

  async #logits(rows: number, forced?: ForcedVariants): Promise<LogitsEncoding> {
    this.#unit('lm_head')
    const workspace = await this.#logitsMemory.take()
    const atOnce = Math.min(rows, workspace.rows)
    if (forced === undefined) {
      await this.#proof.ready(atOnce, 1)
    }
    const kernels = await this.#program.logitsKernels(atOnce, forced)
    return new LogitsEncoding(this.#program, kernels, {
      unit: () => this.#unit('lm_head'),
      workspace,
      runWorkspace: () => this.#queue.workspace,
      uniforms: () => this.#queue.uniforms,
    })
  }
}
