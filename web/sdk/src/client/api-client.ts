import type { components } from '../api/head'
import { retryAfterMs } from '../backoff'
import { SplitComputeError, sentence } from '../errors'
import { type Attempt, Hedge } from './hedge'
import { type OnRetry, type Persistence, RetryableError, withRetries } from './retries'
import { withSignal } from './with-signal'

type ProblemDocument = components['schemas']['Problem']

export type ApiHeaders = Readonly<Record<string, string>>

export interface ApiRequest {
  readonly method: 'GET' | 'POST'
  /** Below the endpoint, without a leading slash. */
  readonly path: string
  readonly accept: string
  readonly body?: unknown
}

/** The one failure of the cloud's own that asking again does not mend. */
const MODEL_DAMAGED = 'https://splitcompute.dev/problems/model-damaged'

/** An answer of the API. */
export interface ApiAnswer {
  /** Media type, lower case, without parameters. */
  readonly type: string
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Bytes of the request's body. */
  readonly sent: number
}

/** Talks to one endpoint, and turns what it says into answers and typed errors. */
export class ApiClient {
  readonly #base: URL
  readonly #hedge = new Hedge()

  constructor(
    endpoint: string,
    private readonly headers: ApiHeaders | (() => Promise<ApiHeaders>) = {},
  ) {
    this.#base = baseOf(endpoint)
  }

  /**
   * Sends a request until it is answered: network errors, 429 and 5xx are retried with back-off until the signal aborts, and beside one
   * that is silent for seconds another one is sent.
   *
   * @throws SplitComputeError `refused` for any other status; the signal's reason once it aborts
   */
  send(request: ApiRequest, signal: AbortSignal, how: Persistence = {}): Promise<ApiAnswer> {
    const attempt = async () => {
      const headers = await this.#ownHeaders(signal)
      return await this.#hedge.send(
        (ended, heard) => this.#sendOnce(request, headers, ended, heard),
        signal,
        how.onRetry,
      )
    }
    return withRetries(attempt, signal, how)
  }

  url(path: string): URL {
    return new URL(path, this.#base)
  }

  async #sendOnce(
    { method, path, accept, body }: ApiRequest,
    ownHeaders: ApiHeaders,
    signal: AbortSignal,
    heard: () => void,
  ): Promise<ApiAnswer> {
    const text = body === undefined ? null : JSON.stringify(body)
    const headers = new Headers(ownHeaders)
    headers.set('Accept', accept)
    if (text !== null) {
      headers.set('Content-Type', 'application/json')
    }
    const response = await reach(this.url(path), { method, headers, body: text, signal })
    const type = (response.headers.get('Content-Type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
    const bytes = await readBody(response, signal, heard)
    if (!response.ok) {
      throw refusal(response, type, bytes)
    }
    return { type, bytes, sent: text === null ? 0 : new TextEncoder().encode(text).byteLength }
  }

  /** A function that fails, as when a token cannot be renewed at the moment, is asked again like a server. */
  async #ownHeaders(signal: AbortSignal): Promise<ApiHeaders> {
    const { headers } = this
    if (typeof headers !== 'function') {
      return headers
    }
    try {
      return await withSignal((async () => headers())(), signal)
    } catch (cause) {
      signal.throwIfAborted()
      throw new RetryableError(`The function "headers" failed: ${sentence(cause)}`, undefined, cause)
    }
  }
}

/** Fetches from outside the API, such as S3, without the API's headers; asked again like the API where it is silent. */
export function fetchBytes(
  url: string,
  signal: AbortSignal,
  onRetry?: OnRetry,
): Promise<Uint8Array<ArrayBuffer>> {
  const attempt: Attempt<Uint8Array<ArrayBuffer>> = async (ended, heard) => {
    const response = await reach(url, { signal: ended, credentials: 'omit' })
    const bytes = await readBody(response, ended, heard)
    if (!response.ok) {
      throw new RetryableError(
        `The activations could not be fetched: S3 answered ${response.status}.`,
        undefined,
      )
    }
    return bytes
  }
  return new Hedge().send(attempt, signal, onRetry)
}

async function reach(url: URL | string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (cause) {
    init.signal?.throwIfAborted()
    throw new RetryableError('The cloud cannot be reached.', undefined, cause)
  }
}

async function readBody(
  response: Response,
  signal: AbortSignal,
  heard: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  heard()
  const listening = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform: (chunk, controller) => {
      heard()
      controller.enqueue(chunk)
    },
  })
  try {
    return new Uint8Array(await new Response(response.body?.pipeThrough(listening)).arrayBuffer())
  } catch (cause) {
    signal.throwIfAborted()
    throw new RetryableError("The cloud's answer broke off.", undefined, cause)
  }
}

function refusal(response: Response, type: string, bytes: Uint8Array): SplitComputeError {
  const problem = type === 'application/problem+json' ? parseProblem(bytes) : {}
  const detail =
    [problem.detail, problem.title].find((text) => typeof text === 'string') ??
    `The API answered ${response.status}.`
  const passes = response.status === 429 || response.status >= 500
  if (passes && problem.type !== MODEL_DAMAGED) {
    return new RetryableError(String(detail), retryAfterMs(response.headers.get('Retry-After')))
  }
  return new SplitComputeError('refused', String(detail), {
    problem: {
      status: response.status,
      type: typeof problem.type === 'string' ? problem.type : 'about:blank',
      ...(typeof problem.field === 'string' ? { field: problem.field } : {}),
    },
  })
}

function parseProblem(bytes: Uint8Array): Partial<Record<keyof ProblemDocument, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    // A proxy may answer anything; the status alone is then what is known.
    return {}
  }
}

function baseOf(endpoint: string): URL {
  const document = (globalThis as { document?: { baseURI: string } }).document
  let base: URL
  try {
    if (typeof endpoint !== 'string') {
      throw new TypeError('not a string')
    }
    base = new URL(endpoint === '' ? '/' : endpoint, document?.baseURI)
  } catch (cause) {
    throw new SplitComputeError('invalid_argument', `"endpoint" is not a URL: ${endpoint}`, { cause })
  }
  if (!base.pathname.endsWith('/')) {
    base.pathname += '/'
  }
  return base
}
