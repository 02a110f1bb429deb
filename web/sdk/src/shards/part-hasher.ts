import { sha256 } from './sha256'

/** A thread that has parts and answers none for so long is as good as dead. */
const HASH_MS = 5_000

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
      /** Undefined where the thread could not hash. */
      readonly sha256: string | undefined
    }

/** Bytes and their SHA-256. */
export interface Hashed {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly sha256: string
}

/** A thread that hashes. */
export interface HashThread {
  /** Begins it. Resolves to the port by which it is asked, or to undefined where there can be none. */
  start(): Promise<MessagePort | undefined>
  end(): void
}

type Result = Hashed | Promise<Hashed> | undefined

type Resolve = (result: Result) => void

/** A thread that was begun. */
interface Link {
  port: MessagePort | undefined
  ready: boolean
}

/**
 * Hashes parts beside this thread: in a worker, Chromium hashes on the worker's own thread, which meanwhile reads nothing from the
 * network. Where there is no other thread for it, and until that one runs, parts are hashed here.
 */
export class PartHasher {
  #link: Link | undefined
  #failed = false
  #requests = 0
  readonly #pending = new Map<number, Resolve>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly thread: HashThread) {}

  /** Begins the other thread; `hash` works without. */
  start(): void {
    if (this.#link === undefined && !this.#failed) {
      const link = { port: undefined, ready: false }
      this.#link = link
      this.#connect(link).catch(() => this.#fail(link))
    }
  }

  /** Ends the other thread; parts on their way to it are lost. */
  stop(): void {
    const link = this.#link
    if (link === undefined) {
      return
    }
    this.#link = undefined
    link.port?.close()
    this.thread.end()
    clearTimeout(this.#timer)
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id, undefined)
    }
  }

  /**
   * @param bytes the caller's no longer: they move to the other thread
   * @returns the same bytes with their hash; undefined where they were lost with the thread
   */
  hash(bytes: Uint8Array<ArrayBuffer>): Promise<Hashed | undefined> {
    const link = this.#link
    const port = link?.ready ? link.port : undefined
    if (link === undefined || port === undefined) {
      return hashHere(bytes)
    }
    return new Promise((resolve) => {
      const id = ++this.#requests
      this.#pending.set(id, resolve)
      if (this.#pending.size === 1) {
        this.#expect(link)
      }
      port.postMessage({ id, bytes } satisfies HashRequest, [bytes.buffer])
    })
  }

  async #connect(link: Link): Promise<void> {
    const port = await this.thread.start()
    if (link !== this.#link) {
      port?.close()
      return
    }
    if (port === undefined) {
      this.#fail(link)
      return
    }
    link.port = port
    port.addEventListener('message', ({ data }: MessageEvent<HashAnswer>) => {
      if (data === 'ready') {
        link.ready = true
      } else {
        const { id, bytes, sha256 } = data
        this.#settle(id, sha256 === undefined ? hashHere(bytes) : { bytes, sha256 })
        this.#expect(link)
      }
    })
    port.start()
  }

  /** One that has failed once is not begun again. */
  #fail(link: Link): void {
    if (link === this.#link) {
      this.#failed = true
      this.stop()
    }
  }

  /** Parts wait in line: the time of each begins when the one before it is answered. */
  #expect(link: Link): void {
    clearTimeout(this.#timer)
    if (this.#pending.size > 0) {
      this.#timer = setTimeout(() => this.#fail(link), HASH_MS)
    }
  }

  #settle(id: number, result: Result): void {
    this.#pending.get(id)?.(result)
    this.#pending.delete(id)
  }
}

async function hashHere(bytes: Uint8Array<ArrayBuffer>): Promise<Hashed> {
  return { bytes, sha256: await sha256(bytes) }
}
