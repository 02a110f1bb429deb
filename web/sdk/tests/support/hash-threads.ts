import { serveHashes } from '../../src/shards/hash-server'
import { type HashThread, PartHasher } from '../../src/shards/part-hasher'

/** A thread that hashes, in truth this one. */
export class FakeHashThread implements HashThread {
  starts = 0
  ends = 0
  /** Parts that it was given. */
  asked = 0
  /** Parts that it still hashes; then it is silent, as one is that has died. */
  left = Number.POSITIVE_INFINITY
  readonly #ports: MessagePort[] = []

  async start(): Promise<MessagePort> {
    this.starts++
    const { port1, port2 } = new MessageChannel()
    this.#ports.push(port1, port2)
    const served: Pick<MessagePort, 'start' | 'postMessage'> & { addEventListener: unknown } = {
      start: () => port1.start(),
      postMessage: port1.postMessage.bind(port1),
      addEventListener: (_: 'message', listener: (event: MessageEvent) => void) =>
        port1.addEventListener('message', (event) => {
          this.asked++
          if (this.left-- > 0) {
            listener(event)
          }
        }),
    }
    serveHashes(served as MessagePort)
    return port2
  }

  end(): void {
    this.ends++
    for (const port of this.#ports.splice(0)) {
      port.close()
    }
  }
}

/** A hasher whose thread is ready; of the parts that it gets from now on it hashes so many. */
export async function hasherOn(thread: FakeHashThread, left: number): Promise<PartHasher> {
  const hasher = new PartHasher(thread)
  hasher.start()
  // Until the thread is ready, parts are hashed here.
  while (thread.asked === 0) {
    await hasher.hash(new Uint8Array(1))
  }
  thread.left = left
  return hasher
}
