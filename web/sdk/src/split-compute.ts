import { ApiClient, type ApiHeaders } from './client/api-client'
import { Cloud, type Inputs } from './client/cloud'
import { Deadline } from './client/deadline'
import { Embedding, type Fallback, type Ledger } from './client/embedding'
import { checkInputs, checkPooled, type Input, isList } from './client/inputs'
import { Loader } from './client/loader'
import type { Dtype, Manifest, Pooling } from './client/manifest'
import { listModels, type Model } from './client/models'
import { type Claim, Pace } from './client/pace'
import type { Progress } from './client/progress'
import { askToPersist, ShardStorage } from './client/storage'
import { LazyTokenizer } from './client/tokenizer'
import { defaultDownload, defaultMemory, type OpenDevice } from './device'
import { openDevice } from './device/open'
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
  /** Most bytes of weights from the network; by default none where the visitor saves data, little over slow connections. */
  download?: number
  /** The address of `splitcompute-worker.js`, of the page's own origin: for pages that forbid workers from blobs. */
  workerUrl?: string
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

/** The cut that requests take from now on. */
export interface CutChange {
  readonly from: number
  readonly to: number
  /** Why layers went back to the cloud, where they did. */
  readonly reason?: string
}

interface EventMap {
  progress: CustomEvent<Progress>
  cut: CustomEvent<CutChange>
  fallback: CustomEvent<Fallback>
}

/**
 * One model, cut between the cloud and this device. Dispatches `progress` as shards come, `cut` when the cut moves, and
 * `fallback` when one side answers a request that the other was to answer.
 */
export class SplitCompute extends EventTarget {
  /** What this origin keeps on the disk. */
  readonly storage = new ShardStorage()
  readonly #cloud: Cloud
  readonly #manifest: Manifest
  readonly #revision: string
  readonly #dtype: Dtype
  readonly #loader: Loader
  readonly #pace: Pace
  readonly #tokenizer: LazyTokenizer
  readonly #closing = new AbortController()
  #toldCut: number
  #device: unknown
  #keeps = false

  private constructor(
    cloud: Cloud,
    { manifest, revision }: { manifest: Manifest; revision: string },
    options: Required<Pick<ConnectOptions, 'dtype' | 'memory' | 'download'>> &
      Pick<ConnectOptions, 'workerUrl'>,
    open: OpenDevice,
  ) {
    super()
    this.#cloud = cloud
    this.#manifest = manifest
    this.#revision = revision
    this.#dtype = options.dtype
    this.#toldCut = manifest.layers
    this.#pace = new Pace(() => this.#tell())
    this.#tokenizer = new LazyTokenizer(
      manifest,
      async () => await this.#loader.device?.tokenizer(this.#closing.signal),
    )
    const onProgress = () => this.#tell()
    this.#loader = new Loader({ manifest, revision, ...options, sign: cloud.sign, open, onProgress })
    globalThis.document?.addEventListener('visibilitychange', onProgress, { signal: this.#closing.signal })
  }

  /**
   * Resolves once the model's manifest is here; shards load in the background.
   *
   * @param open where the tail runs; by default on this browser's GPU
   * @throws SplitComputeError `refused` for an unknown model, `unknown_dtype`, `invalid_manifest`, `unsupported_model`,
   *   `invalid_argument`, `timeout`; the signal's reason once it aborts
   */
  static async connect(options: ConnectOptions, open: OpenDevice = openDevice): Promise<SplitCompute> {
    const { endpoint, headers, signal, workerUrl } = options
    const model = modelName(options.model)
    const { dtype = 'f16', memory = defaultMemory(), download = defaultDownload() } = options
    for (const [name, bytes] of Object.entries({ memory, download })) {
      if (!(bytes >= 0)) {
        throw new SplitComputeError('invalid_argument', `"${name}" must be a number of bytes.`)
      }
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
      const settings = { dtype, memory, download, ...(workerUrl === undefined ? {} : { workerUrl }) }
      const split = new SplitCompute(cloud, published, settings, open)
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

  /** The cut that a request takes now: the first layer that this device can run, while it is well and the page visible. */
  get cut(): number {
    return this.#restReason() === undefined ? this.#loader.cut : this.layers
  }

  /** What the last `progress` event told. */
  get progress(): Progress {
    const reason = this.#restReason()
    const { progress } = this.#loader
    return reason === undefined ? progress : { ...progress, cut: this.cut, reason }
  }

  /** Resolves to the cut reached when all layers are here or no more will come; rejects only by `close()`. */
  get ready(): Promise<number> {
    return this.#loader.ready
  }

  override addEventListener<Type extends keyof EventMap>(
    type: Type,
    listener: (event: EventMap[Type]) => void,
    options?: AddEventListenerOptions | boolean,
  ): void
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void
  override addEventListener(
    type: string,
    listener: ((event: never) => void) | EventListenerOrEventListenerObject | null,
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
    const pooled = checkPooled(options, this.#manifest)
    const deadline = new Deadline(options.signal, options.timeoutMs, this.#closing.signal)
    let claim: Claim | undefined
    try {
      deadline.signal.throwIfAborted()
      const ordered = options.cut
      const { cut, reason } =
        ordered === undefined ? this.#cutAsItStands() : await this.#cutAsOrdered(ordered, deadline)
      // At once, so that calls of the same moment see each other.
      claim = cut < this.layers ? this.#pace.claim(guessTokens(inputs), this.layers - cut) : undefined
      const sides = {
        cloud: this.#cloud,
        loader: this.#loader,
        pace: this.#pace,
        tokenizer: this.#tokenizer,
        manifest: this.#manifest,
        revision: this.#revision,
        dtype: this.#dtype,
        onFallback: (fallback: Fallback) => this.#dispatch('fallback', fallback),
      }
      const request = { inputs, cut, pooled, reason, claim }
      const result = await new Embedding(sides, request, deadline).answer()
      const answers = result.embeddings.map((embedding) => ({
        embedding,
        cut: result.cut,
        ledger: result.ledger,
        ...(result.reason === undefined ? {} : { reason: result.reason }),
      }))
      const [first] = answers
      return isList(input) || first === undefined ? answers : first
    } finally {
      this.#loader.begin()
      claim?.release()
      deadline.release()
    }
  }

  /** Frees the GPU and ends the worker. What is under way rejects with `closed`, and so does `ready` unless it resolved before. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) {
      return
    }
    const error = new SplitComputeError('closed', 'SplitCompute was closed.')
    this.#closing.abort(error)
    this.#pace.close()
    await this.#loader.close(error)
  }

  async #cutAsOrdered(
    ordered: number,
    deadline: Deadline,
  ): Promise<{ cut: number; reason: string | undefined }> {
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
    if (this.cut <= ordered) {
      return { cut: ordered, reason: undefined }
    }
    const { reason = 'the layers did not arrive in time.' } = this.progress
    return { cut: this.cut, reason: `Cut ${ordered} was not possible: ${reason}` }
  }

  #cutAsItStands(): { cut: number; reason: string | undefined } {
    const { cut: loaded } = this.#loader
    const why = this.#restReason() ?? (this.#pace.busy ? 'The device is busy.' : undefined)
    if (why === undefined || loaded === this.layers) {
      return { cut: loaded, reason: undefined }
    }
    const reason = `The cloud answered: ${why}`
    this.#dispatch('fallback', { from: loaded, to: this.layers, reason })
    return { cut: this.layers, reason }
  }

  /** Why the device runs nothing for now, though its layers are there. */
  #restReason(): string | undefined {
    if (globalThis.document?.visibilityState === 'hidden') {
      return 'The page is hidden.'
    }
    return this.#pace.resting ? 'The device was slow and rests.' : undefined
  }

  #tell(): void {
    const { progress } = this
    if (this.#device !== this.#loader.device) {
      this.#device = this.#loader.device
      this.#pace.reset()
    }
    if (progress.cut === 0 && progress.phase === 'ready') {
      this.#tokenizer.prefetch()
    }
    if (!this.#keeps && progress.units.some(({ state }) => state === 'loaded')) {
      this.#keeps = true
      askToPersist()
    }
    if (progress.cut !== this.#toldCut) {
      const from = this.#toldCut
      this.#toldCut = progress.cut
      const { reason } = progress
      this.#dispatch('cut', {
        from,
        to: progress.cut,
        ...(progress.cut > from && reason !== undefined ? { reason } : {}),
      })
    }
    this.#dispatch('progress', progress)
  }

  #dispatch<Type extends keyof EventMap>(type: Type, detail: EventMap[Type]['detail']): void {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }
}

/** Tokens of the inputs, of texts by the usual length of a token. */
function guessTokens(inputs: Inputs): number {
  const CHARACTERS = 4
  return [...inputs].reduce(
    (sum, input) => sum + (typeof input === 'string' ? Math.ceil(input.length / CHARACTERS) : input.length),
    0,
  )
}

/** The name without the owner that a hub's name begins with. */
function modelName(model: unknown): string {
  const name = typeof model === 'string' ? model.replace(/^[A-Za-z0-9][A-Za-z0-9._-]*\//, '') : ''
  if (!/^[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._-]{0,95}$/.test(name)) {
    throw new SplitComputeError('invalid_argument', `"model" is not a model's name: ${String(model)}`)
  }
  return name
}
