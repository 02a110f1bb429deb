import { sleep } from '../backoff'

/** A network that was given up is tried again when the browser says that it is back, or after this. */
const RETRY_MS = 30_000

/** Resolves when the browser says that it is online again, or after a while; rejects with the signal's reason. */
export async function online(signal: AbortSignal): Promise<void> {
  const back = new AbortController()
  const stop = () => back.abort(signal.reason)
  signal.addEventListener('abort', stop)
  const came = () => back.abort()
  globalThis.addEventListener?.('online', came)
  try {
    await sleep(RETRY_MS, back.signal)
  } catch {
    signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', stop)
    globalThis.removeEventListener?.('online', came)
  }
}
