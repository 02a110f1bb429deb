import type { components as catalog } from '../api/catalog'
import type { components as head } from '../api/head'
import { SplitComputeError } from '../errors'
import { sha256 } from '../shards/sha256'
import type { Signed } from '../shards/signed-urls'
import { type ActivationsMessage, readActivations } from './activations'
import { type ApiAnswer, type ApiClient, fetchBytes } from './api-client'
import { Deadline } from './deadline'
import { JsonReader } from './json-reader'
import { keepManifest, keptManifest } from './kept-manifests'
import { type Manifest, type Pooling, parseManifest } from './manifest'
import { type Persistence, type Retry, withRetries } from './retries'

const ACTIVATIONS = 'application/vnd.splitcompute.activations'
const LOCATION = 'application/vnd.splitcompute.location+json'

/** How long a visitor who has been here waits for the manifest before the kept one is taken. */
const OFFLINE_MS = 5_000

type EmbedBody = head['schemas']['EmbedBody']
type EmbedResponse = head['schemas']['EmbedResponse']
type ActivationsLocation = head['schemas']['ActivationsLocation']
type ModelObject = catalog['schemas']['ModelObject']
type ShardRequest = catalog['schemas']['ShardRequest']
type ShardUrls = catalog['schemas']['ShardUrls']

/** Texts, or sequences of token ids. */
export type Inputs = readonly string[] | readonly (readonly number[])[]

export interface Pooled {
  readonly pooling: Pooling | 'none'
  readonly normalize: boolean
}

/** What one request may hold. */
export interface Limits {
  readonly inputs: number
  readonly tokens: number
}

/** Bytes of bodies over the network. */
export interface Traffic {
  readonly sent: number
  readonly received: number
}

/** One model in the cloud. */
export class Cloud {
  constructor(
    private readonly api: ApiClient,
    private readonly model: string,
  ) {}

  /**
   * The manifest, and its revision: the SHA-256 of its bytes. Where the network does not answer, the one that was kept last.
   *
   * @throws SplitComputeError `refused`, `invalid_manifest`, `unsupported_model`
   */
  async manifest(
    signal: AbortSignal,
    onRetry: ((retry: Retry) => void) | undefined,
  ): Promise<{ manifest: Manifest; revision: string }> {
    const path = `v1/models/${this.model}/manifest`
    const url = this.api.url(path)
    const kept = await keptManifest(url)
    const patience = new Deadline(signal, kept === undefined ? undefined : OFFLINE_MS)
    let bytes: Uint8Array<ArrayBuffer>
    try {
      const request = { method: 'GET', path, accept: 'application/json' } as const
      const how = kept === undefined ? { onRetry } : { enough: () => true }
      bytes = (await this.api.send(request, patience.signal, how)).bytes
    } catch (error) {
      signal.throwIfAborted()
      if (kept === undefined || (error instanceof SplitComputeError && error.code === 'refused')) {
        throw error
      }
      return { manifest: parseManifest(kept), revision: await sha256(kept) }
    } finally {
      patience.release()
    }
    const manifest = parseManifest(bytes)
    keepManifest(url, bytes)
    return { manifest, revision: await sha256(bytes) }
  }

  /**
   * What one request may hold; the API is asked once, not until it answers.
   *
   * @throws SplitComputeError `refused`, `invalid_message`, `unreachable`
   */
  async limits(signal: AbortSignal): Promise<Limits> {
    const request = { method: 'GET', path: `v1/models/${this.model}`, accept: 'application/json' } as const
    const { bytes } = await this.api.send(request, signal, { enough: () => true })
    const limits = JsonReader.parse<ModelObject>(bytes, 'invalid_message', 'The model').object('limits')
    return { inputs: limits.size('maxInputs'), tokens: limits.size('maxTokensPerRequest') }
  }

  /** @throws SplitComputeError `refused`, `invalid_message` */
  readonly sign = async (sha256s: readonly string[], signal: AbortSignal): Promise<Signed[]> => {
    const path = `v1/models/${this.model}/shards`
    const body: ShardRequest = { shards: [...sha256s] }
    const { bytes } = await this.api.send({ method: 'POST', path, accept: 'application/json', body }, signal)
    const answer = JsonReader.parse<ShardUrls>(bytes, 'invalid_message', 'The answer with the shards’ URLs')
    return answer.list('urls').map((item) => ({
      sha256: item.hash('sha256'),
      url: item.string('url'),
      expires: Date.parse(item.string('expires')),
    }))
  }

  /**
   * The input of layer `cut`, or at cut 0 the tokens alone.
   *
   * @throws SplitComputeError `invalid_message`, `refused`, `unreachable`
   */
  async activations(
    inputs: Inputs,
    cut: number,
    dtype: 'f32' | 'f16',
    hiddenSize: number,
    signal: AbortSignal,
    how: Persistence,
  ): Promise<{ message: ActivationsMessage; traffic: Traffic }> {
    const body: EmbedBody = { model: this.model, input: copy(inputs), cut, dtype }
    const { bytes, traffic } = await this.#message(body, signal, how)
    const message = readActivations(bytes, hiddenSize)
    if (message.cut !== cut || message.lengths.length !== inputs.length) {
      throw new SplitComputeError('invalid_message', 'The activations message answers another request.')
    }
    return { message, traffic }
  }

  /**
   * Finished embeddings: all layers in the cloud.
   *
   * @returns for each input its vector `[hiddenSize]`, or without pooling its rows `[tokens, hiddenSize]`, and its tokens
   * @throws SplitComputeError `invalid_message`, `refused`, `unreachable`
   */
  async embeddings(
    inputs: Inputs,
    manifest: Manifest,
    { pooling, normalize }: Pooled,
    signal: AbortSignal,
    how: Persistence,
  ): Promise<{ embeddings: Float32Array[]; lengths: ArrayLike<number>; traffic: Traffic }> {
    const cut = manifest.layers
    const body: EmbedBody = { model: this.model, input: copy(inputs), cut, pooling, normalize }
    if (pooling === 'none') {
      const { bytes, traffic } = await this.#message({ ...body, dtype: 'f32' }, signal, how)
      const message = readActivations(bytes, manifest.hiddenSize)
      return { embeddings: rows(message), lengths: message.lengths, traffic }
    }
    const request = { method: 'POST', path: 'v1/embed', accept: 'application/json', body } as const
    const { bytes, sent } = await this.api.send(request, signal, how)
    const answer = JsonReader.parse<EmbedResponse>(bytes, 'invalid_message', 'The answer with the embeddings')
    const embeddings = answer.list('embeddings').map((item) => Float32Array.from(item.asNumbers()))
    const lengths = answer.list('lengths').map((item) => item.asFinite())
    if (
      embeddings.length !== inputs.length ||
      lengths.length !== inputs.length ||
      embeddings.some((embedding) => embedding.length !== manifest.hiddenSize)
    ) {
      throw new SplitComputeError(
        'invalid_message',
        'The cloud answered embeddings of another number or size.',
      )
    }
    return { embeddings, lengths, traffic: { sent, received: bytes.byteLength } }
  }

  /** Asks for a message, which comes in the answer or by way of a bucket. */
  #message(
    body: EmbedBody,
    signal: AbortSignal,
    how: Persistence,
  ): Promise<{ bytes: Uint8Array<ArrayBuffer>; traffic: Traffic }> {
    const accept = `${ACTIVATIONS}, ${LOCATION}`
    // A location that is gone is answered by asking for the whole anew.
    return withRetries(
      async () => {
        const answer = await this.api.send({ method: 'POST', path: 'v1/embed', accept, body }, signal, how)
        const traffic = { sent: answer.sent, received: answer.bytes.byteLength }
        if (answer.type !== LOCATION) {
          return { bytes: answer.bytes, traffic }
        }
        const bytes = await follow(answer, signal, how.onRetry)
        return { bytes, traffic: { ...traffic, received: traffic.received + bytes.byteLength } }
      },
      signal,
      how,
    )
  }
}

async function follow(
  answer: ApiAnswer,
  signal: AbortSignal,
  onRetry: Persistence['onRetry'],
): Promise<Uint8Array<ArrayBuffer>> {
  const location = JsonReader.parse<ActivationsLocation>(
    answer.bytes,
    'invalid_message',
    'The location of the activations',
  )
  const bytes = await fetchBytes(location.string('url'), signal, onRetry)
  if (bytes.byteLength !== location.size('bytes') || (await sha256(bytes)) !== location.hash('sha256')) {
    throw new SplitComputeError(
      'invalid_message',
      'The activations that S3 answered are not the ones announced.',
    )
  }
  return bytes
}

/** The rows of each sequence as floats. */
function rows({ lengths, hidden }: ActivationsMessage): Float32Array[] {
  if (hidden?.dtype !== 'f32') {
    throw new SplitComputeError('invalid_message', 'The cloud answered hidden states in another dtype.')
  }
  const values = new Float32Array(hidden.bytes.slice().buffer)
  const columns = values.length / lengths.reduce((sum, length) => sum + length, 0)
  let start = 0
  return Array.from(lengths, (length) => {
    const end = start + length * columns
    const sequence = values.slice(start, end)
    start = end
    return sequence
  })
}

/** The generated types have lists that can be written to. */
function copy(inputs: Inputs): string[] | number[][] {
  return inputs.map((input) => (typeof input === 'string' ? input : [...input])) as string[] | number[][]
}
