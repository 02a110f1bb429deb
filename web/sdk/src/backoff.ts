const SHORTEST_MS = 200
const LONGEST_MS = 2_000

/**
 * How long to wait before trying again: doubled each time between 200 ms and 2 s, with jitter, so that clients that
 * failed together do not come back together.
 *
 * @param attempt 0 after the first failure
 */
export function backoffMs(attempt: number): number {
  const delay = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** (attempt + 1))
  return SHORTEST_MS + Math.random() * (delay - SHORTEST_MS)
}

/** Waits, or rejects with the signal's reason as soon as it aborts. */
export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const done = () => {
      signal.removeEventListener('abort', aborted)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    const aborted = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    signal.addEventListener('abort', aborted, { once: true })
  })
}

/** Milliseconds that a `Retry-After` asks for: it has seconds or a date. */
export function retryAfterMs(value: string | null): number | undefined {
  if (value === null) {
    return undefined
  }
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now()
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : undefined
}
