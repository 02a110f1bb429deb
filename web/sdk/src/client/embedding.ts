import type { Device } from '../device'
import type { TailBatch } from '../engine/batch'
import { notFinite, SplitComputeError, sentence } from '../errors'
import type { Cloud, Inputs, Pooled, Traffic } from './cloud'
import { Deadline } from './deadline'
import { InvalidInput } from './inputs'
import type { Loader } from './loader'
import type { Dtype, Manifest } from './manifest'
import type { Claim, Pace } from './pace'
import { type Persistence, type Retry, RetryableError } from './retries'
import type { LazyTokenizer } from './tokenizer'
import { withSignal } from './with-signal'

/** What a request cost. The inputs of one call share it. */
export interface Ledger {
  /** Layers that ran on either side for the answer. */
  readonly layers: { readonly cloud: number; readonly device: number }
  /** Bytes of bodies, those of failed attempts to use the device included. */
  readonly bytes: { readonly sent: number; readonly received: number }
  /** Waiting for the cloud, network included, and for the device. */
  readonly milliseconds: { readonly cloud: number; readonly device: number }
}

/** One side answered what the other was to. */
export interface Fallback {
  /** The cut that was to run. */
  readonly from: number
  /** The cut that runs instead: the number of layers where the cloud takes over, 0 where the device answers alone. */
  readonly to: number
  readonly reason: string
}

export interface EmbeddingResult {
  readonly embeddings: Float32Array[]
  /** Tokens of each input. */
  readonly lengths: ArrayLike<number>
  readonly cut: number
  readonly ledger: Ledger
  readonly reason: string | undefined
}

export interface EmbeddingRequest {
  readonly inputs: Inputs
  /** The cut that is to run. */
  readonly cut: number
  readonly pooled: Pooled
  /** Why `cut` is not the one that was asked for. */
  readonly reason: string | undefined
  /** Its place in the device's queue, where the device has a part in it. */
  readonly claim: Claim | undefined
}

export interface Sides {
  readonly cloud: Cloud
  readonly loader: Loader
  readonly pace: Pace
  readonly tokenizer: LazyTokenizer
  readonly manifest: Manifest
  readonly revision: string
  readonly dtype: Dtype
  readonly onFallback: (fallback: Fallback) => void
  readonly onRetry: (retry: Retry) => void
}

type TailInput = Pick<TailBatch, 'tokens' | 'lengths' | 'hidden'>

/** Of the time that a call has left, what the device may take before the cloud is asked. */
const DEVICE_SHARE = 0.6

/** One request on its way to one answer: split as it was to be, else by the cloud alone, else by the device alone. */
export class Embedding {
  readonly #bytes = { sent: 0, received: 0 }
  readonly #milliseconds = { cloud: 0, device: 0 }
  #deviceFailed = false
  #reason: string | undefined

  constructor(
    private readonly sides: Sides,
    private readonly request: EmbeddingRequest,
    private readonly deadline: Deadline,
  ) {
    this.#reason = request.reason
  }

  get #signal(): AbortSignal {
    return this.deadline.signal
  }

  /** @throws SplitComputeError when neither side can answer; the signal's reason once it aborts */
  async answer(): Promise<EmbeddingResult> {
    const { device } = this.sides.loader
    const { cut, claim } = this.request
    if (claim !== undefined && device !== undefined) {
      try {
        return await this.#split(device, cut, claim)
      } catch (error) {
        this.#throwIfOver(error)
        if (!(error instanceof RetryableError)) {
          this.#fallBack(this.sides.manifest.layers, 'The cloud answered', error)
        }
      }
    }
    return await this.#oneSide()
  }

  async #split(device: Device, cut: number, claim: Claim): Promise<EmbeddingResult> {
    const own = cut === 0 ? this.#knownTokens() : undefined
    const input = own ?? (await this.#cloudsInput(cut))
    const embeddings = await this.#onDevice(device, cut, input, claim)
    return this.#result(await this.#completed(embeddings), input.lengths, cut)
  }

  /** With the cloud's answers in the place of those that the device has computed wrong. */
  async #completed(embeddings: Float32Array[]): Promise<Float32Array[]> {
    const wrong = [...embeddings.keys()].filter((i) => embeddings[i]?.length === 0)
    if (wrong.length === 0) {
      return embeddings
    }
    const { cloud, loader, manifest } = this.sides
    const { inputs, pooled } = this.request
    loader.recheck()
    this.#deviceFailed = true
    this.#fallBack(manifest.layers, `The cloud answered ${wrong.length} of ${embeddings.length}`, notFinite())
    const asked = isTokens(inputs) ? wrong.map((i) => inputs[i] ?? []) : wrong.map((i) => inputs[i] ?? '')
    const { result } = await this.#askCloud((signal, how) =>
      cloud.embeddings(asked, manifest, pooled, signal, how),
    )
    this.#count(result.traffic)
    return embeddings.map((embedding, i) => result.embeddings[wrong.indexOf(i)] ?? embedding)
  }

  /** All layers on one side: the cloud if it answers, else a device that has the whole model. */
  async #oneSide(): Promise<EmbeddingResult> {
    for (;;) {
      try {
        return await this.#allInCloud()
      } catch (error) {
        this.#throwIfOver(error)
        if (!this.#canAnswerAlone()) {
          if (error instanceof RetryableError) {
            // The device could have answered when the cloud was let go, and is gone since.
            continue
          }
          throw error
        }
        try {
          return await this.#allOnDevice(error)
        } catch (ofDevice) {
          this.#throwIfOver(ofDevice)
          // Asked again, the cloud is not let go before the call's time is over.
          this.#deviceFailed = true
        }
      }
    }
  }

  async #allInCloud(): Promise<EmbeddingResult> {
    const { cloud, manifest, pace } = this.sides
    const { inputs, pooled } = this.request
    const { result, ms } = await this.#askCloud((signal, how) =>
      cloud.embeddings(inputs, manifest, pooled, signal, how),
    )
    pace.cloudTook(ms)
    this.#count(result.traffic)
    return this.#result(result.embeddings, result.lengths, manifest.layers)
  }

  async #allOnDevice(why: unknown): Promise<EmbeddingResult> {
    const { loader, tokenizer } = this.sides
    const input =
      this.#knownTokens() ?? pack(await tokenizer.encode(texts(this.request.inputs), this.#signal))
    const { device } = loader
    if (device === undefined) {
      throw new SplitComputeError('device_lost', 'The device is gone.')
    }
    this.#fallBack(0, 'The device answered alone', why)
    const start = performance.now()
    // Nobody else could answer: it has all the time that the call has.
    const embeddings = await withSignal(
      device.run({ ...this.request.pooled, cut: 0, ...input }, this.#signal),
      this.#signal,
    )
    this.#milliseconds.device += performance.now() - start
    if (embeddings.some(({ length }) => length === 0)) {
      throw notFinite()
    }
    return this.#result(embeddings, input.lengths, 0)
  }

  async #cloudsInput(cut: number): Promise<TailInput> {
    const { cloud, manifest, revision, dtype, loader } = this.sides
    const { inputs } = this.request
    const wire = dtype === 'f32' ? 'f32' : 'f16'
    const { result } = await this.#askCloud((signal, how) =>
      cloud.activations(inputs, cut, wire, manifest.hiddenSize, signal, how),
    )
    this.#count(result.traffic)
    const { message } = result
    if (message.revision !== revision) {
      const reason = 'the model was published anew, and the layers on this device are of its former revision.'
      loader.giveUp(`No more layers run here: ${reason}`)
      throw new SplitComputeError('invalid_message', reason)
    }
    const { tokens, lengths, hidden } = message
    return { tokens, lengths, ...(hidden === undefined ? {} : { hidden }) }
  }

  /** Runs the tail within the time that it may take. A run that takes longer ends unread: its time is learnt. */
  async #onDevice(device: Device, cut: number, input: TailInput, claim: Claim): Promise<Float32Array[]> {
    const { loader } = this.sides
    const run = claim.begin(input.tokens.length)
    const share = DEVICE_SHARE * this.deadline.remainingMs
    const patience = new Deadline(this.#signal, Math.min(run.limitMs, share))
    const start = performance.now()
    const disturbed = () => loader.provedSince(start)
    const computing = device.run({ ...this.request.pooled, cut, ...input }, this.#signal)
    computing.then(() => run.done(disturbed()), run.failed)
    try {
      const embeddings = await withSignal(computing, patience.signal)
      loader.foundRight()
      return embeddings
    } catch (error) {
      if (patience.signal.aborted && !this.#signal.aborted) {
        run.late(run.limitMs <= share && !disturbed())
        throw new SplitComputeError('timeout', 'The device was slow.', { cause: error })
      }
      if (error instanceof SplitComputeError && error.code === 'wrong_result') {
        this.#deviceFailed = true
        loader.foundWrong()
      }
      throw error
    } finally {
      this.#milliseconds.device += performance.now() - start
      patience.release()
    }
  }

  /**
   * Asks the cloud; one that is silent or fails is let go as soon as the device can answer alone. For that a text needs the
   * tokenizer, which is fetched meanwhile.
   */
  async #askCloud<T>(
    ask: (signal: AbortSignal, how: Persistence) => Promise<T>,
  ): Promise<{ result: T; ms: number }> {
    const { pace, tokenizer, onRetry } = this.sides
    const patience = new Deadline(this.#signal)
    let failure = new RetryableError('The cloud does not answer.', undefined)
    let fetching = false
    const letGo = () => {
      if (this.#canAnswerAlone()) {
        patience.abort(failure)
      }
    }
    const insist = () => {
      letGo()
      if (this.#hasAllLayers() && this.#lacksTokenizer() && !fetching) {
        fetching = true
        tokenizer.prefetch().then(() => {
          fetching = false
          letGo()
        })
      }
    }
    const enough = (error: RetryableError) => {
      failure = error
      insist()
      return this.#canAnswerAlone()
    }
    const timer = setInterval(insist, pace.cloudLimitMs)
    const start = performance.now()
    try {
      const result = await ask(patience.signal, { enough, onRetry })
      return { result, ms: performance.now() - start }
    } finally {
      this.#milliseconds.cloud += performance.now() - start
      clearInterval(timer)
      patience.release()
    }
  }

  /** A call whose time is over fails with what ended it, and one whose input cannot be embedded with that: no side would answer. */
  #throwIfOver(error: unknown): void {
    if (this.#signal.aborted) {
      throw error instanceof SplitComputeError && error.code === 'timeout' && error.cause !== undefined
        ? error
        : this.#signal.reason
    }
    if (error instanceof InvalidInput || (error instanceof SplitComputeError && error.code === 'refused')) {
      throw error
    }
  }

  #fallBack(to: number, who: string, why: unknown): void {
    const reason = `${who}: ${sentence(why)}`
    this.#reason = reason
    this.sides.onFallback({ from: this.request.cut, to, reason })
  }

  #canAnswerAlone(): boolean {
    return this.#hasAllLayers() && !this.#lacksTokenizer()
  }

  #hasAllLayers(): boolean {
    return !this.#deviceFailed && this.sides.loader.cut === 0
  }

  #lacksTokenizer(): boolean {
    return !isTokens(this.request.inputs) && !this.sides.tokenizer.here
  }

  /** The tokens, where the cloud need not be asked for them. */
  #knownTokens(): TailInput | undefined {
    const { inputs } = this.request
    const sequences = isTokens(inputs) ? inputs : this.sides.tokenizer.encodeNow(inputs)
    return sequences && pack(sequences)
  }

  #result(embeddings: Float32Array[], lengths: ArrayLike<number>, cut: number): EmbeddingResult {
    const layers = { cloud: cut, device: this.sides.manifest.layers - cut }
    const ledger = { layers, bytes: this.#bytes, milliseconds: this.#milliseconds }
    return { embeddings, lengths, cut, ledger, reason: this.#reason }
  }

  #count({ sent, received }: Traffic): void {
    this.#bytes.sent += sent
    this.#bytes.received += received
  }
}

function isTokens(inputs: Inputs): inputs is readonly (readonly number[])[] {
  return typeof inputs[0] !== 'string'
}

function texts(inputs: Inputs): readonly string[] {
  return inputs as readonly string[]
}

function pack(sequences: readonly (readonly number[])[]): TailInput {
  return {
    tokens: Int32Array.from(sequences.flat()),
    lengths: Int32Array.from(sequences, (sequence) => sequence.length),
  }
}
