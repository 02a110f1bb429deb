import { source } from 'virtual:hash-worker'
import { sha256 } from './sha256'

/** A worker that takes longer than this for one part is as good as dead. */
const HASH_MS = 10_000

export interface HashRequest {
  readonly id: number
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** `ready` once, then an answer to each request. */
export type HashAnswer =
  | 'ready'
  | {
      readonly id: number
      readonly bytes: Uint8Array<ArrayBuffer>
      /** Undefined where the worker could not hash. */
      readonly sha256: string | undefined
    }

/** Bytes and their SHA-256. */
export interface Hashed {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly sha256: string
}

type Result = Hashed | Promise<Hashed> | undefined

interface Pending {
  readonly resolve: (result: Result) => void
  readonly timer: ReturnType<typeof setTimeout>
}

/**
 * Hashes parts beside this thread: in a worker, Chromium hashes on the worker's own thread, which meanwhile reads nothing from the
 * network. Where a page's policy or its browser has no worker for it, and until it runs, parts are hashed here.
 */
export class PartHasher {
  #worker: Worker | undefined
  #url = ''
  #ready = false
  #failed = false
  #requests = 0
  readonly #pending = new Map<number, Pending>()

  /** Starts the worker; `hash` works without. */
  start(): void {
    if (this.#worker !== undefined || this.#failed || source === '' || typeof Worker === 'undefined') {
      return
    }
    this.#url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
    try {
      const worker = new Worker(this.#url, { name: 'splitcompute-hashes' })
      worker.addEventListener('message', ({ data }: MessageEvent<HashAnswer>) => {
        if (data === 'ready') {
          this.#ready = worker === this.#worker
        } else {
          const { id, bytes, sha256 } = data
          this.#settle(id, sha256 === undefined ? hashHere(bytes) : { bytes, sha256 })
        }
      })
      worker.addEventListener('error', () => this.#fail(worker))
      this.#worker = worker
    } catch {
      this.#failed = true
    }
  }

  /** Ends the worker; parts on their way to it are lost. */
  stop(): void {
    this.#worker?.terminate()
    this.#worker = undefined
    this.#ready = false
    URL.revokeObjectURL(this.#url)
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id, undefined)
    }
  }

  /**
   * @param bytes the caller's no longer: they move to the worker
   * @returns the same bytes with their hash; undefined where they were lost with the worker
   */
  hash(bytes: Uint8Array<ArrayBuffer>): Promise<Hashed | undefined> {
    const worker = this.#worker
    if (worker === undefined || !this.#ready) {
      return hashHere(bytes)
    }
    return new Promise((resolve) => {
      const id = ++this.#requests
      const timer = setTimeout(() => this.#fail(worker), HASH_MS)
      this.#pending.set(id, { resolve, timer })
      worker.postMessage({ id, bytes } satisfies HashRequest, [bytes.buffer])
    })
  }

  /** One that has failed once is not started again. */
  #fail(worker: Worker): void {
    if (worker === this.#worker) {
      this.#failed = true
      this.stop()
    }
  }

  #settle(id: number, result: Result): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    clearTimeout(pending?.timer)
    pending?.resolve(result)
  }
}

async function hashHere(bytes: Uint8Array<ArrayBuffer>): Promise<Hashed> {
  return { bytes, sha256: await sha256(bytes) }
}
