import type { components } from '../api/head'
import { backoffMs, retryAfterMs, sleep } from '../backoff'
import { SplitComputeError, sentence } from '../errors'
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

/** An answer of the API. */
export interface ApiAnswer {
  /** Media type, lower case, without parameters. */
  readonly type: string
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Bytes of the request's body. */
  readonly sent: number
}

/** A failure after which the same request may succeed. */
export class RetryableError extends SplitComputeError {
  constructor(
    message: string,
    /** What the API asked for, in milliseconds. */
    readonly retryAfterMs: number | undefined,
    cause?: unknown,
  ) {
    super('unreachable', message, { cause })
  }
}

/** Nothing came for so long: whoever waits is told. */
const SILENT_MS = 5_000

/** A request that waits for a cloud that fails or is silent. */
export interface Retry {
  /** What keeps it waiting, as a sentence. */
  readonly reason: string
}

/** How a request goes on that is not answered. */
export interface Persistence {
  /** Told of each failure; true ends the retries with it. */
  readonly enough?: ((failure: RetryableError) => boolean) | undefined
  /** Told at once of each failure after which the request is sent again, and of an attempt that has no answer for 5 s. */
  readonly onRetry?: ((retry: Retry) => void) | undefined
}

/** Talks to one endpoint, and turns what it says into answers and typed errors. */
export class ApiClient {
  readonly #base: URL

  constructor(
    endpoint: string,
    private readonly headers: ApiHeaders | (() => Promise<ApiHeaders>) = {},
  ) {
    this.#base = baseOf(endpoint)
  }

  /**
   * Sends a request until it is answered: network errors, 429 and 5xx are retried with back-off until the signal aborts.
   *
   * @throws SplitComputeError `refused` for any other status; the signal's reason once it aborts
   */
  send(request: ApiRequest, signal: AbortSignal, how: Persistence = {}): Promise<ApiAnswer> {
    const attempt = async () => {
      const silent = () => how.onRetry?.({ reason: `The cloud has not answered for ${SILENT_MS / 1_000} s.` })
      const timer = setTimeout(silent, SILENT_MS)
      try {
        return await this.#sendOnce(request, signal)
      } finally {
        clearTimeout(timer)
      }
    }
    return withRetries(attempt, signal, how)
  }

  url(path: string): URL {
    return new URL(path, this.#base)
  }

  async #sendOnce({ method, path, accept, body }: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    const text = body === undefined ? null : JSON.stringify(body)
    const headers = new Headers(await this.#ownHeaders(signal))
    headers.set('Accept', accept)
    if (text !== null) {
      headers.set('Content-Type', 'application/json')
    }
    const response = await reach(this.url(path), { method, headers, body: text, signal })
    const type = (response.headers.get('Content-Type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
    const bytes = await readBody(response, signal)
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

/** Repeats an attempt while it fails with `RetryableError`. */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  signal: AbortSignal,
  { enough, onRetry }: Persistence = {},
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof RetryableError) || enough?.(error)) {
        throw error
      }
      onRetry?.({ reason: error.message })
      try {
        await sleep(Math.max(error.retryAfterMs ?? 0, backoffMs(failures)), signal)
      } catch (ended) {
        throw ended instanceof SplitComputeError && ended.code === 'timeout'
          ? new SplitComputeError('timeout', `${ended.message} ${error.message}`, { cause: error })
          : ended
      }
    }
  }
}

/** Fetches from outside the API, such as S3, without the API's headers. */
export async function fetchBytes(url: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const response = await reach(url, { signal, credentials: 'omit' })
  const bytes = await readBody(response, signal)
  if (!response.ok) {
    throw new RetryableError(
      `The activations could not be fetched: S3 answered ${response.status}.`,
      undefined,
    )
  }
  return bytes
}

async function reach(url: URL | string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (cause) {
    init.signal?.throwIfAborted()
    throw new RetryableError('The cloud cannot be reached.', undefined, cause)
  }
}

async function readBody(response: Response, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await response.arrayBuffer())
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
  if (response.status === 429 || response.status >= 500) {
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
