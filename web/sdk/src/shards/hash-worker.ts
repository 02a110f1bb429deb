import type { HashAnswer, HashRequest } from './part-hasher'
import { sha256 } from './sha256'

/** The worker's own scope, of which TypeScript knows only where there is no page. */
interface Scope {
  postMessage(message: HashAnswer, transfer: Transferable[]): void
  addEventListener(type: 'message', listener: (event: MessageEvent<HashRequest>) => void): void
}
const scope = globalThis as unknown as Scope

scope.addEventListener('message', async ({ data: { id, bytes } }) => {
  // Who has no answer in it hashes itself.
  const hash = await sha256(bytes).catch(() => undefined)
  scope.postMessage({ id, bytes, sha256: hash }, [bytes.buffer])
})
scope.postMessage('ready', [])
