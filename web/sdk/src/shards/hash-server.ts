import type { HashAnswer, HashRequest } from './part-hasher'
import { sha256 } from './sha256'

/** Hashes on this thread what comes by a port. */
export function serveHashes(port: MessagePort): void {
  const answer = (message: HashAnswer, transfer: Transferable[]) => port.postMessage(message, transfer)
  port.addEventListener('message', async ({ data: { id, bytes } }: MessageEvent<HashRequest>) => {
    // Who has no answer in it hashes itself.
    const hash = await sha256(bytes).catch(() => undefined)
    answer({ id, bytes, sha256: hash }, [bytes.buffer])
  })
  port.start()
  answer('ready', [])
}
