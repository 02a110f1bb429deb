import { startWorker } from './start-worker'

/**
 * The worker that hashes for a device. It is the page's, not one within the device's worker: when Chromium ends a worker that has another
 * one, now and then neither ends.
 */
export class HashWorker {
  #worker: Worker | undefined
  #failed = false

  constructor(private readonly workerUrl: string | undefined) {}

  /** The port by which it is asked; undefined where it does not start. */
  start(): MessagePort | undefined {
    this.end()
    const worker = this.#failed ? undefined : startWorker('splitcompute-hashes', this.workerUrl)
    if (worker === undefined) {
      return undefined
    }
    worker.addEventListener('error', () => {
      // Each try to start what the page's policy forbids is reported.
      this.#failed = true
      worker.terminate()
    })
    this.#worker = worker
    const { port1, port2 } = new MessageChannel()
    worker.postMessage(port1, [port1])
    return port2
  }

  end(): void {
    this.#worker?.terminate()
    this.#worker = undefined
  }
}
