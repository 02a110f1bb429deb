import { SplitComputeError } from '../errors'

/** A call without limits of its own ends after this. */
export const DEFAULT_TIMEOUT_MS = 30_000

/** The signals that end one call: the caller's, the client's own, and its time. */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #sources: readonly AbortSignal[]
  readonly #start = performance.now()
  readonly #timer: ReturnType<typeof setTimeout> | undefined

  /**
   * @param timeoutMs by default 30 s where there is no `signal` either, else none
   * @param closed aborts when the client is closed
   */
  constructor(
    signal: AbortSignal | undefined,
    readonly timeoutMs: number | undefined = signal === undefined ? DEFAULT_TIMEOUT_MS : undefined,
    closed?: AbortSignal,
  ) {
    if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
      throw new SplitComputeError('invalid_argument', '"timeoutMs" must be a number of milliseconds.')
    }
    this.#sources = [signal, closed].filter((source) => source !== undefined)
    for (const source of this.#sources) {
      if (source.aborted) {
        this.#controller.abort(source.reason)
      }
      source.addEventListener('abort', this.#forward)
    }
    if (timeoutMs !== undefined && timeoutMs < 2 ** 31) {
      const late = () =>
        this.#controller.abort(
          new SplitComputeError('timeout', `There was no answer within ${timeoutMs / 1_000} s.`),
        )
      this.#timer = setTimeout(late, timeoutMs)
    }
  }

  /** Infinite where the call has no time of its own. */
  get remainingMs(): number {
    return this.timeoutMs === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, this.#start + this.timeoutMs - performance.now())
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Ends what is still under way for the call. */
  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  /** Lets go of the timer and of the caller's signal. */
  release(): void {
    clearTimeout(this.#timer)
    for (const source of this.#sources) {
      source.removeEventListener('abort', this.#forward)
    }
  }

  readonly #forward = (event: Event) => {
    this.#controller.abort((event.target as AbortSignal).reason)
  }
}
