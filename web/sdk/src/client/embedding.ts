import type { Device } from '../device'
import type { TailBatch } from '../engine/batch'
import { SplitComputeError, sentence } from '../errors'
import { RetryableError } from './api-client'
import type { Cloud, Inputs, Pooled, Traffic } from './cloud'
import type { Loader } from './loader'
import type { Dtype, Manifest } from './manifest'

/** What a request cost. The inputs of one call share it. */
export interface Ledger {
  /** Layers that ran on either side for the answer. */
  readonly layers: { readonly cloud: number; readonly device: number }
  /** Bytes of bodies, those of failed attempts to use the device included. */
  readonly bytes: { readonly sent: number; readonly received: number }
  /** Waiting for the cloud, network included, and for the device. */
  readonly milliseconds: { readonly cloud: number; readonly device: number }
}

export interface EmbeddingResult {
  readonly embeddings: Float32Array[]
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
}

export interface Sides {
  readonly cloud: Cloud
  readonly loader: Loader
  readonly manifest: Manifest
  readonly revision: string
  readonly dtype: Dtype
}

/** One request on its way to one answer: the tail on the device if it can, all in the cloud if not. */
export class Embedding {
  readonly #bytes = { sent: 0, received: 0 }
  readonly #milliseconds = { cloud: 0, device: 0 }
  #tailFailed = false
  #reason: string | undefined

  constructor(
    private readonly sides: Sides,
    private readonly request: EmbeddingRequest,
    private readonly signal: AbortSignal,
  ) {
    this.#reason = request.reason
  }

  /** @throws SplitComputeError when neither side can answer; the signal's reason once it aborts */
  async answer(): Promise<EmbeddingResult> {
    try {
      return await this.#split()
    } catch (error) {
      this.#throwIfEnded(error)
      const device = this.sides.loader.device
      if (!(error instanceof RetryableError) || device === undefined || !this.#canDoWithoutCloud()) {
        throw error
      }
      this.#reason = `The device answered alone: ${sentence(error)}`
      return await this.#tail(device, 0, this.#ownTokens())
    }
  }

  async #split(): Promise<EmbeddingResult> {
    const { device } = this.sides.loader
    const { cut } = this.request
    if (cut < this.sides.manifest.layers && device !== undefined) {
      try {
        return await this.#tail(device, cut, await this.#tailInput(cut))
      } catch (error) {
        this.#throwIfEnded(error)
        if (isTheClouds(error)) {
          throw error
        }
        this.#tailFailed = true
        this.#reason = `The cloud answered: ${sentence(error)}`
      }
    }
    return await this.#allInCloud()
  }

  async #tailInput(cut: number): Promise<Pick<TailBatch, 'tokens' | 'lengths' | 'hidden'>> {
    const { cloud, manifest, revision, dtype, loader } = this.sides
    const { inputs } = this.request
    if (cut === 0 && isTokens(inputs)) {
      return this.#ownTokens()
    }
    const { message, traffic } = await this.#timed('cloud', () =>
      cloud.activations(
        inputs,
        cut,
        dtype === 'f32' ? 'f32' : 'f16',
        manifest.hiddenSize,
        this.signal,
        this.#enough,
      ),
    )
    this.#count(traffic)
    if (message.revision !== revision) {
      const reason = 'the model was published anew, and the layers on this device are of its former revision.'
      loader.giveUp(`No more layers run here: ${reason}`)
      throw new SplitComputeError('invalid_message', reason)
    }
    const { tokens, lengths, hidden } = message
    return { tokens, lengths, ...(hidden === undefined ? {} : { hidden }) }
  }

  async #tail(
    device: Device,
    cut: number,
    input: Pick<TailBatch, 'tokens' | 'lengths' | 'hidden'>,
  ): Promise<EmbeddingResult> {
    const batch = { ...this.request.pooled, cut, ...input }
    const embeddings = await this.#timed('device', () =>
      withSignal(device.run(batch, this.signal), this.signal),
    )
    return this.#result(embeddings, cut)
  }

  async #allInCloud(): Promise<EmbeddingResult> {
    const { cloud, manifest } = this.sides
    const { inputs, pooled } = this.request
    const { embeddings, traffic } = await this.#timed('cloud', () =>
      cloud.embeddings(inputs, manifest, pooled, this.signal, this.#enough),
    )
    this.#count(traffic)
    return this.#result(embeddings, manifest.layers)
  }

  /** A call that is over fails with what ended it; a timeout may also say what it waited for. */
  #throwIfEnded(error: unknown): void {
    if (this.signal.aborted) {
      throw error instanceof SplitComputeError && error.code === 'timeout' ? error : this.signal.reason
    }
  }

  /** With the whole model on the device, waiting for a cloud that does not answer is in vain. */
  readonly #enough = (): boolean => this.#canDoWithoutCloud()

  #canDoWithoutCloud(): boolean {
    return !this.#tailFailed && this.sides.loader.cut === 0 && isTokens(this.request.inputs)
  }

  #ownTokens(): Pick<TailBatch, 'tokens' | 'lengths'> {
    const sequences = this.request.inputs as readonly (readonly number[])[]
    return { tokens: Int32Array.from(sequences.flat()), lengths: Int32Array.from(sequences, (s) => s.length) }
  }

  #result(embeddings: Float32Array[], cut: number): EmbeddingResult {
    const layers = { cloud: cut, device: this.sides.manifest.layers - cut }
    const ledger = { layers, bytes: this.#bytes, milliseconds: this.#milliseconds }
    return { embeddings, cut, ledger, reason: this.#reason }
  }

  #count({ sent, received }: Traffic): void {
    this.#bytes.sent += sent
    this.#bytes.received += received
  }

  async #timed<T>(side: 'cloud' | 'device', work: () => Promise<T>): Promise<T> {
    const start = performance.now()
    try {
      return await work()
    } finally {
      this.#milliseconds[side] += performance.now() - start
    }
  }
}

/** Errors that asking the cloud for all layers would only repeat. */
function isTheClouds(error: unknown): boolean {
  return error instanceof SplitComputeError && (error.code === 'refused' || error.code === 'unreachable')
}

function isTokens(inputs: Inputs): boolean {
  return typeof inputs[0] !== 'string'
}

/** What was submitted to a GPU cannot be called back: it ends unread. */
function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason)
    signal.addEventListener('abort', aborted, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
    if (signal.aborted) {
      aborted()
    }
  })
}
