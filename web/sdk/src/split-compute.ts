import { ApiClient, type ApiHeaders } from './client/api-client'
import { Cloud } from './client/cloud'
import { Deadline } from './client/deadline'
import { Embedding, type Ledger } from './client/embedding'
import { checkInputs, type Input, isList } from './client/inputs'
import { Loader } from './client/loader'
import type { Dtype, Manifest, Pooling } from './client/manifest'
import { listModels, type Model } from './client/models'
import type { Progress } from './client/progress'
import { defaultMemory, type OpenDevice, openDevice } from './device'
import { SplitComputeError } from './errors'

/** How much of a call's time an ordered cut may wait for its layers: the rest is for the cloud's answer. */
const WAITING_SHARE = 0.75

export interface EndpointOptions {
  /** The API's address; it may be relative to the document. */
  endpoint: string
  /** Sent to the API alone, never to S3. */
  headers?: ApiHeaders | (() => Promise<ApiHeaders>)
  signal?: AbortSignal
}

export interface ConnectOptions extends EndpointOptions {
  model: string
  /** Of the weights; `f16` by default. Activations travel in `f32` with `f32` weights, else in `f16`. */
  dtype?: Dtype
  /** Bytes of GPU memory; by default a quarter of the machine's, 2 GiB where unknown, 512 MiB on phones. */
  memory?: number
}

export interface EmbedOptions {
  /** An order: the call waits for the layers from here on. Without it the call takes the cut as it stands. */
  cut?: number
  /** The model's own by default. `none` answers the rows of all tokens after the final LayerNorm, never normalized. */
  pooling?: Pooling | 'none'
  /** Whether an embedding is divided by its L2 norm; the model's own choice by default. */
  normalize?: boolean
  signal?: AbortSignal
  /** 30,000 by default where there is no `signal` either, else none. */
  timeoutMs?: number
}

export interface Answer {
  /** `[hiddenSize]`, or with pooling `none` `[tokens, hiddenSize]` row by row. */
  readonly embedding: Float32Array
  /** The cut that ran. */
  readonly cut: number
  readonly ledger: Ledger
  /** Why another cut ran than the one that was to be. */
  readonly reason?: string
}

/** One model, cut between the cloud and this device. Dispatches `progress`, a `CustomEvent<Progress>`. */
export class SplitCompute extends EventTarget {
  readonly #cloud: Cloud
  readonly #manifest: Manifest
  readonly #revision: string
  readonly #dtype: Dtype
  readonly #loader: Loader
  readonly #closing = new AbortController()

  private constructor(
    cloud: Cloud,
    { manifest, revision }: { manifest: Manifest; revision: string },
    dtype: Dtype,
    memory: number,
    open: OpenDevice,
  ) {
    super()
    this.#cloud = cloud
    this.#manifest = manifest
    this.#revision = revision
    this.#dtype = dtype
    const onProgress = (detail: Progress) =>
      this.dispatchEvent(new CustomEvent<Progress>('progress', { detail }))
    this.#loader = new Loader({ manifest, dtype, memory, sign: cloud.sign, open, onProgress })
  }

  /**
   * Resolves once the model's manifest is here; shards load in the background.
   *
   * @param open where the tail runs; by default on this browser's GPU
   * @throws SplitComputeError `refused` for an unknown model, `unknown_dtype`, `invalid_manifest`, `unsupported_model`,
   *   `invalid_argument`, `timeout`; the signal's reason once it aborts
   */
  static async connect(options: ConnectOptions, open: OpenDevice = openDevice): Promise<SplitCompute> {
    const { endpoint, model, headers, signal, dtype = 'f16', memory = defaultMemory() } = options
    if (!/^[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._-]{0,95}$/.test(model)) {
      throw new SplitComputeError('invalid_argument', `"model" is not a model's name: ${model}`)
    }
    if (!(memory >= 0)) {
      throw new SplitComputeError('invalid_argument', '"memory" must be a number of bytes.')
    }
    const cloud = new Cloud(new ApiClient(endpoint, headers), model)
    const deadline = new Deadline(signal)
    try {
      const published = await cloud.manifest(deadline.signal)
      const { dtypes } = published.manifest
      if (!dtypes.includes(dtype)) {
        throw new SplitComputeError(
          'unknown_dtype',
          `${model} comes in ${dtypes.join(', ')}, not in ${dtype}.`,
        )
      }
      const split = new SplitCompute(cloud, published, dtype, memory, open)
      split.#loader.start()
      return split
    } finally {
      deadline.release()
    }
  }

  /**
   * The models that an endpoint serves.
   *
   * @throws SplitComputeError `refused`, `invalid_message`, `timeout`; the signal's reason once it aborts
   */
  static async models({ endpoint, headers, signal }: EndpointOptions): Promise<Model[]> {
    const deadline = new Deadline(signal)
    try {
      return await listModels(new ApiClient(endpoint, headers), deadline.signal)
    } finally {
      deadline.release()
    }
  }

  /** The model's name. */
  get model(): string {
    return this.#manifest.model
  }

  /** How many layers the model has: the cut at which the cloud runs all of them. */
  get layers(): number {
    return this.#manifest.layers
  }

  /** The first layer that this device can run now. */
  get cut(): number {
    return this.#loader.cut
  }

  /** What the last `progress` event told. */
  get progress(): Progress {
    return this.#loader.progress
  }

  /** Resolves to the cut reached when all layers are here or no more will come; rejects only by `close()`. */
  get ready(): Promise<number> {
    return this.#loader.ready
  }

  override addEventListener(
    type: 'progress',
    listener: (event: CustomEvent<Progress>) => void,
    options?: AddEventListenerOptions | boolean,
  ): void
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void
  override addEventListener(
    type: string,
    listener: ((event: CustomEvent<Progress>) => void) | EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void {
    super.addEventListener(type, listener as EventListenerOrEventListenerObject | null, options)
  }

  /**
   * Embeds a text or a sequence of token ids, or each of a list of them.
   *
   * @throws SplitComputeError `invalid_argument`, `refused`, `timeout`, `closed`; the signal's reason once it aborts
   */
  embed(input: string | readonly number[], options?: EmbedOptions): Promise<Answer>
  embed(input: readonly string[] | readonly (readonly number[])[], options?: EmbedOptions): Promise<Answer[]>
  async embed(input: Input, options: EmbedOptions = {}): Promise<Answer | Answer[]> {
    const inputs = checkInputs(input, this.#manifest)
    const pooled = {
      pooling: options.pooling ?? this.#manifest.pooling.kind,
      normalize: options.normalize ?? this.#manifest.pooling.normalize,
    }
    const deadline = new Deadline(options.signal, options.timeoutMs, this.#closing.signal)
    try {
      const { cut, reason } = await this.#chooseCut(options.cut, deadline)
      const sides = {
        cloud: this.#cloud,
        loader: this.#loader,
        manifest: this.#manifest,
        revision: this.#revision,
        dtype: this.#dtype,
      }
      const result = await new Embedding(sides, { inputs, cut, pooled, reason }, deadline.signal).answer()
      const answers = result.embeddings.map((embedding) => ({
        embedding,
        cut: result.cut,
        ledger: result.ledger,
        ...(result.reason === undefined ? {} : { reason: result.reason }),
      }))
      const [first] = answers
      return isList(input) || first === undefined ? answers : first
    } finally {
      deadline.release()
    }
  }

  /** Frees the GPU. What is under way rejects with `closed`, and so does `ready` unless it resolved before. */
  async close(): Promise<void> {
    const error = new SplitComputeError('closed', 'SplitCompute was closed.')
    this.#closing.abort(error)
    this.#loader.close(error)
  }

  async #chooseCut(
    ordered: number | undefined,
    deadline: Deadline,
  ): Promise<{ cut: number; reason: string | undefined }> {
    deadline.signal.throwIfAborted()
    if (ordered === undefined) {
      return { cut: this.#loader.cut, reason: undefined }
    }
    if (!Number.isInteger(ordered) || ordered < 0 || ordered > this.layers) {
      throw new SplitComputeError(
        'invalid_argument',
        `"cut" must be a whole number from 0 to ${this.layers}.`,
      )
    }
    const share = deadline.timeoutMs === undefined ? undefined : deadline.timeoutMs * WAITING_SHARE
    const waiting = new Deadline(deadline.signal, share)
    try {
      await this.#loader.reached(ordered, waiting.signal)
    } catch {
      deadline.signal.throwIfAborted()
    } finally {
      waiting.release()
    }
    if (this.#loader.cut <= ordered) {
      return { cut: ordered, reason: undefined }
    }
    const { reason = 'the layers did not arrive in time.' } = this.#loader.progress
    return { cut: this.#loader.cut, reason: `Cut ${ordered} was not possible: ${reason}` }
  }
}
