import type { components } from '../api/head'
import { backoffMs, retryAfterMs, sleep } from '../backoff'
import { SplitComputeError, sentence } from '../errors'
import { Deadline } from './deadline'
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

/** Nothing came for so long: whoever waits is told, and the request is sent once more. */
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
  /** Told at once of each failure after which the request is sent again, and when nothing has come for 5 s. */
  readonly onRetry?: OnRetry
}

type OnRetry = ((retry: Retry) => void) | undefined

/** Sends a request once, ended by the signal; `heard` is to be called whenever some of the answer comes. */
type Attempt<T> = (signal: AbortSignal, heard: () => void) => Promise<T>

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
   * Sends a request until it is answered: network errors, 429 and 5xx are retried with back-off until the signal aborts, and beside a
   * request that is silent for 5 s a second one is sent.
   *
   * @throws SplitComputeError `refused` for any other status; the signal's reason once it aborts
   */
  send(request: ApiRequest, signal: AbortSignal, how: Persistence = {}): Promise<ApiAnswer> {
    const attempt = async () => {
      const headers = await this.#ownHeaders(signal)
      return await hedged(
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

/** A listener that throws ends no call: its error is reported as that of an event's listener is. */
function tell(onRetry: OnRetry, reason: string): void {
  try {
    onRetry?.({ reason })
  } catch (error) {
    // Older browsers have no such function.
    globalThis.reportError?.(error)
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
      tell(onRetry, error.message)
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

/**
 * Makes an attempt, and where nothing comes for 5 s another one beside it: a request may be lost though the cloud is well. The first
 * that is answered or refused counts and ends the other; a failure after which the other may yet succeed is waited out.
 */
async function hedged<T>(attempt: Attempt<T>, signal: AbortSignal, onRetry: OnRetry): Promise<T> {
  const ending = new Deadline(signal)
  let timer: ReturnType<typeof setTimeout> | undefined
  let running = 0
  let answering = false
  try {
    return await new Promise<T>((resolve, reject) => {
      const wait = (milliseconds = SILENT_MS) => {
        clearTimeout(timer)
        if (!ending.signal.aborted) {
          timer = setTimeout(silent, milliseconds)
        }
      }
      const heard = () => {
        answering = true
        wait()
      }
      const start = () => {
        running++
        wait()
        attempt(ending.signal, heard).then(resolve, (error: unknown) => {
          running--
          if (running === 0 || !(error instanceof RetryableError)) {
            reject(error)
          } else {
            wait(Math.max(SILENT_MS, error.retryAfterMs ?? 0))
          }
        })
      }
      const silent = () => {
        if (running === 1) {
          start()
          const what = answering ? "The cloud's answer has not gone on" : 'The cloud has not answered'
          tell(onRetry, `${what} for ${SILENT_MS / 1_000} s.`)
        }
      }
      start()
    })
  } finally {
    ending.abort(new Error('Another attempt was faster.'))
    ending.release()
    clearTimeout(timer)
  }
}

/** Fetches from outside the API, such as S3, without the API's headers; asked a second time like the API where it is silent. */
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
  return hedged(attempt, signal, onRetry)
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
