import { backoffMs, sleep } from '../backoff'
import { SplitComputeError } from '../errors'

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

/** A request that waits for a cloud that fails or is silent. */
export interface Retry {
  /** What keeps it waiting, as a sentence. */
  readonly reason: string
}

/** How a request goes on that is not answered. */
export interface Persistence {
  /** Told of each failure; true ends the retries with it. */
  readonly enough?: ((failure: RetryableError) => boolean) | undefined
  /** Told at once of each failure after which the request is sent again, and when nothing has come for seconds. */
  readonly onRetry?: OnRetry
}

export type OnRetry = ((retry: Retry) => void) | undefined

/** A listener that throws ends no call: its error is reported as that of an event's listener is. */
export function tell(onRetry: OnRetry, reason: string): void {
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
