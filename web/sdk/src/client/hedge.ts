import { Deadline } from './deadline'
import { type OnRetry, RetryableError, tell } from './retries'

/** Sends a request once, ended by the signal; `heard` is to be called whenever some of the answer comes. */
export type Attempt<T> = (signal: AbortSignal, heard: () => void) => Promise<T>

/** Nothing came for so long: a request may be lost though the cloud is well. */
const LOST_MS = 5_000

/** As long as a head lets a request wait for its turn: from a cloud that is slow, only what is silent for longer is lost. */
const SLOW_MS = 10_000

/** Requests for one answer at once: of which one may be lost, and where that happens, two. */
const MOST = 2
const MOST_WHERE_LOST = 3

/**
 * Sends a request again beside one of which nothing comes. The first that is answered or refused counts and ends the others; after a
 * failure the others are waited for.
 *
 * To a cloud that is slow, as when it is saturated, more requests would only be more work. It is taken for slow until a later request
 * is answered while the first is still silent, which shows that it was lost: till then the next one goes out later, and alone.
 */
export class Hedge {
  /** Whether the last request that was sent again had been lost; nothing is known before. */
  #lossy: boolean | undefined

  async send<T>(attempt: Attempt<T>, signal: AbortSignal, onRetry: OnRetry): Promise<T> {
    const ending = new Deadline(signal)
    let timer: ReturnType<typeof setTimeout> | undefined
    let sent = 0
    let running = 0
    let answering = false
    let firstRuns = true
    let lost = false
    try {
      return await new Promise<T>((resolve, reject) => {
        const wait = (leastMs = 0) => {
          clearTimeout(timer)
          if (!ending.signal.aborted) {
            const silentMs = Math.max(this.#lossy === false ? SLOW_MS : LOST_MS, leastMs)
            timer = setTimeout(() => silent(silentMs), silentMs)
          }
        }
        const heard = () => {
          answering = true
          wait()
        }
        const start = () => {
          const first = sent === 0
          sent++
          running++
          wait()
          const answered = (answer: T) => {
            lost = !first && firstRuns
            resolve(answer)
          }
          attempt(ending.signal, heard).then(answered, (error: unknown) => {
            running--
            firstRuns &&= !first
            if (running === 0 || !(error instanceof RetryableError)) {
              reject(error)
            } else {
              wait(error.retryAfterMs)
            }
          })
        }
        const silent = (silentMs: number) => {
          if (running < (this.#lossy === true ? MOST_WHERE_LOST : MOST)) {
            start()
            const what = answering ? "The cloud's answer has not gone on" : 'The cloud has not answered'
            tell(onRetry, `${what} for ${silentMs / 1_000} s.`)
          }
        }
        start()
      })
    } finally {
      if (sent > 1) {
        this.#lossy = lost
      }
      ending.abort(new Error('Another attempt was faster.'))
      ending.release()
      clearTimeout(timer)
    }
  }
}
