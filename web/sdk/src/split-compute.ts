import { ApiClient, type ApiHeaders } from './client/api-client'
import { Batches, boundedBy, boundsOf, isWithin, type ListProgress } from './client/batches'
import { Cloud, type Inputs, type Limits, type Pooled } from './client/cloud'
import { CutChoice } from './client/cut-choice'
import { DEFAULT_TIMEOUT_MS, Deadline } from './client/deadline'
import { Embedding, type Fallback, type Ledger } from './client/embedding'
import { checkInputs, checkPooled, faultOf, guessTokens, type Input, isList } from './client/inputs'
import { Loader } from './client/loader'
import type { Dtype, Manifest, Pooling } from './client/manifest'
import { listModels, type Model, modelName } from './client/models'
import { Pace } from './client/pace'
import type { Progress } from './client/progress'
import type { Retry } from './client/retries'
import { askToPersist, ShardStorage } from './client/storage'
import { LazyTokenizer } from './client/tokenizer'
import { defaultDownload, defaultMemory, type OpenDevice } from './device'
import { openDevice } from './device/open'
import { Embeddings } from './embeddings'
import { SplitComputeError } from './errors'
import { MemoryStore } from './shards/store/memory-store'

/** How long a list waits to be told the model's limits: a request beyond them is only refused and parted. */
const LIMITS_MS = 2_000

export interface EndpointOptions {
  /** The API's address; it may be relative to the document. */
  endpoint: string
  /** Sent to the API alone, never to S3. */
  headers?: ApiHeaders | (() => Promise<ApiHeaders>)
  signal?: AbortSignal
  /**
   * Told at once when the cloud fails and is asked again, and when nothing has come of it for 5 s (10 s where it was slow before) and it
   * is asked once more meanwhile: until its time is over the call says nothing else. What a connected client waits for is told by its `retry` events.
   */
  onRetry?: (retry: Retry) => void
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
  /**
   * 30,000 by default where there is no `signal` either, else none. A list that takes several requests has, by default, as much
   * for each of them.
   */
  timeoutMs?: number
  /** Told how far a list has come, after each of its requests. */
  onProgress?: (progress: ListProgress) => void
}

export interface Answer {
  /** `[hiddenSize]`, or with pooling `none` `[tokens, hiddenSize]` row by row. */
  readonly embedding: Float32Array
  /** Tokens of the input. */
  readonly tokens: number
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
  retry: CustomEvent<Retry>
}

/**
 * One model, cut between the cloud and this device. Dispatches `progress` as shards come, `cut` when the cut moves,
 * `fallback` when one side answers a request that the other was to answer, and `retry` while a request waits for a cloud that fails or
 * is silent.
 */
export class SplitCompute extends EventTarget {
  /** What is kept of shards. */
  readonly storage: ShardStorage
  /** OpenAI's interface, run split. */
  readonly embeddings: Embeddings
  readonly #cloud: Cloud
  readonly #manifest: Manifest
  readonly #revision: string
  readonly #dtype: Dtype
  readonly #memory: number
  readonly #loader: Loader
  readonly #pace: Pace
  readonly #cuts: CutChoice
  readonly #tokenizer: LazyTokenizer
  readonly #closing = new AbortController()
  #limits: Limits | undefined
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
    this.#memory = options.memory
    const spare = new MemoryStore()
    this.storage = new ShardStorage(spare)
    this.embeddings = new Embeddings(manifest, (inputs, how) => this.embed(inputs, how))
    this.#toldCut = manifest.layers
    this.#pace = new Pace(() => this.#tell())
    this.#tokenizer = new LazyTokenizer(
      manifest,
      async () => await this.#loader.device?.tokenizer(this.#closing.signal),
    )
    const onProgress = () => this.#tell()
    this.#loader = new Loader({ manifest, revision, ...options, sign: cloud.sign, open, onProgress, spare })
    this.#cuts = new CutChoice(manifest.layers, this.#loader, this.#pace, this.#onFallback)
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
    const { endpoint, headers, signal, workerUrl, onRetry } = options
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
      const published = await cloud.manifest(deadline.signal, onRetry)
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
  static async models({ endpoint, headers, signal, onRetry }: EndpointOptions): Promise<Model[]> {
    const deadline = new Deadline(signal)
    try {
      return await listModels(new ApiClient(endpoint, headers), deadline.signal, onRetry)
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
    return this.#cuts.now
  }

  /** What the last `progress` event told. */
  get progress(): Progress {
    const reason = this.#cuts.restReason
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
   * Embeds a text or a sequence of token ids, or each of a list of them. A list of any length may be given: it is embedded by
   * requests of bounded size, a few at a time, each at the cut as it then stands.
   *
   * @throws PartialFailure where some inputs of a list have no answer
   * @throws SplitComputeError `invalid_argument`, `refused`, `timeout`, `closed`; the signal's reason once it aborts
   */
  embed(input: string | readonly number[], options?: EmbedOptions): Promise<Answer>
  embed(input: readonly string[] | readonly (readonly number[])[], options?: EmbedOptions): Promise<Answer[]>
  async embed(input: Input, options: EmbedOptions = {}): Promise<Answer | Answer[]> {
    const inputs = checkInputs(input)
    const pooled = checkPooled(options, this.#manifest)
    this.#cuts.check(options.cut)
    if (isList(input)) {
      return await this.#embedList(inputs, pooled, options)
    }
    const [fault] = inputs.map((one) => faultOf(one, this.#manifest))
    if (fault !== undefined) {
      throw fault
    }
    const deadline = new Deadline(options.signal, options.timeoutMs, this.#closing.signal)
    try {
      await this.#cuts.wait(options.cut, deadline)
      const [answer] = await this.#request(inputs, pooled, options.cut, deadline)
      return answer as Answer
    } finally {
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

  async #embedList(inputs: Inputs, pooled: Pooled, options: EmbedOptions): Promise<Answer[]> {
    const { signal, timeoutMs, cut } = options
    const call = new Deadline(signal, timeoutMs ?? Number.POSITIVE_INFINITY, this.#closing.signal)
    // Where the caller gave no time, each step has what a call has: nobody knows how long thousands of texts take.
    const stepMs = signal === undefined && timeoutMs === undefined ? DEFAULT_TIMEOUT_MS : undefined
    const timed = async <T>(step: (deadline: Deadline) => Promise<T>): Promise<T> => {
      const deadline = stepMs === undefined ? call : new Deadline(call.signal, stepMs)
      return await step(deadline).finally(() => deadline !== call && deadline.release())
    }
    try {
      await timed((deadline) => this.#cuts.wait(cut, deadline))
      const request = (some: Inputs) => timed((deadline) => this.#request(some, pooled, cut, deadline))
      const batches = new Batches(inputs, this.#manifest, request, options.onProgress)
      const bounds = await this.#boundsFor(inputs, call.signal)
      return await batches.answers(() => {
        const layers = this.layers - Math.max(this.cut, cut ?? 0)
        return boundedBy({ layers, memory: this.#memory, pace: this.#pace }, bounds, this.#manifest)
      })
    } catch (error) {
      call.abort(error)
      const ended = [signal, this.#closing.signal].find((source) => source?.aborted)
      throw ended === undefined ? error : ended.reason
    } finally {
      call.release()
    }
  }

  /** One request, at the cut as it stands or as it was ordered. */
  async #request(
    inputs: Inputs,
    pooled: Pooled,
    ordered: number | undefined,
    deadline: Deadline,
  ): Promise<Answer[]> {
    const { cut, reason } = this.#cuts.choose(ordered)
    const tokens = guessTokens(inputs, this.#manifest)
    // At once, so that calls of the same moment see each other.
    const layers = this.layers - cut
    const claim = layers > 0 ? this.#pace.claim(tokens, layers, ordered !== undefined) : undefined
    try {
      const sides = {
        cloud: this.#cloud,
        loader: this.#loader,
        pace: this.#pace,
        tokenizer: this.#tokenizer,
        manifest: this.#manifest,
        revision: this.#revision,
        dtype: this.#dtype,
        onFallback: this.#onFallback,
        onRetry: this.#onRetry,
      }
      const result = await new Embedding(sides, { inputs, cut, pooled, reason, claim }, deadline).answer()
      return result.embeddings.map((embedding, i) => ({
        embedding,
        tokens: result.lengths[i] as number,
        cut: result.cut,
        ledger: result.ledger,
        ...(result.reason === undefined ? {} : { reason: result.reason }),
      }))
    } finally {
      this.#loader.begin()
      claim?.release()
    }
  }

  /** What a request of this list may hold. The model's limits are asked for when a list may reach them, and once. */
  async #boundsFor(inputs: Inputs, signal: AbortSignal): Promise<Limits> {
    const bounds = boundsOf(this.#limits, this.#manifest)
    if (this.#limits !== undefined || isWithin(bounds, inputs, this.#manifest)) {
      return bounds
    }
    const patience = new Deadline(signal, LIMITS_MS)
    try {
      this.#limits = await this.#cloud.limits(patience.signal)
    } catch {
      signal.throwIfAborted()
    } finally {
      patience.release()
    }
    return boundsOf(this.#limits, this.#manifest)
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

  readonly #onFallback = (fallback: Fallback) => this.#dispatch('fallback', fallback)

  readonly #onRetry = (retry: Retry) => this.#dispatch('retry', retry)

  #dispatch<Type extends keyof EventMap>(type: Type, detail: EventMap[Type]['detail']): void {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }
}
