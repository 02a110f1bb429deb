import type { Part, Shard } from '../client/manifest'
import type { ShardStore, StoredShard } from './store/store'

/** How long a page waits for another one that reads or writes the same shard. */
const LOCK_MS = 2_000

/** What a shard is, for the list of what is kept. */
export interface About {
  readonly model: string
  readonly unit: string
  readonly dtype: string
}

/**
 * Lends shards of a store to one load at a time, over all pages of the origin, and sees to it that the disk has room. Where
 * that cannot be, a shard is loaded without being kept: storage never stops a load.
 */
export class ShardKeeper {
  /** Bytes of the shards that are being written: the browser's estimate does not know them yet. */
  #promised = 0
  #warned = false

  /**
   * @param wanted shards that are not given up for others
   * @param warn told once that shards are not kept, and why
   */
  constructor(
    private readonly store: ShardStore,
    private readonly wanted: ReadonlySet<string>,
    private readonly warn: (warning: string) => void,
  ) {}

  /** The shard as it is kept, or undefined where it can neither be read nor kept. To be released. */
  async borrow(shard: Shard, about: About, signal: AbortSignal): Promise<KeptLoad | undefined> {
    const unlock = await lock(`splitcompute:${shard.sha256}`, signal)
    if (unlock === undefined) {
      return undefined
    }
    let promised = 0
    let stored: StoredShard | undefined
    const release = () => {
      this.#promised -= promised
      stored?.close()
      unlock()
    }
    try {
      stored = await this.store.open(shard.sha256)
      if (!stored.whole) {
        await this.#makeRoom(shard.bytes)
        promised = shard.bytes
        this.#promised += promised
        await stored.reserve(shard.bytes)
      }
      signal.throwIfAborted()
    } catch (error) {
      release()
      signal.throwIfAborted()
      this.#warn(error)
      return undefined
    }
    const failed = async (error: unknown) => {
      await this.store.delete(shard.sha256).catch(() => undefined)
      this.#warn(error)
    }
    return new KeptLoad(stored, shard, about, release, failed)
  }

  /** Forgets a shard whose bytes proved wrong. */
  async forget(sha256: string): Promise<void> {
    await this.store.delete(sha256).catch(() => undefined)
  }

  /** Gives up the least recently used shards that nobody here wants until so many bytes are free. */
  async #makeRoom(bytes: number): Promise<void> {
    if (this.store.kind === 'memory') {
      return
    }
    const others = (await this.store.list()).filter(({ sha256 }) => !this.wanted.has(sha256))
    others.sort((a, b) => a.used - b.used)
    for (;;) {
      const { quota, usage } = await navigator.storage.estimate()
      if (quota === undefined || usage === undefined || quota - usage - this.#promised >= bytes) {
        return
      }
      const oldest = others.shift()
      if (oldest === undefined) {
        throw new DOMException(`The disk has no room for ${bytes} more bytes.`, 'QuotaExceededError')
      }
      await this.store.delete(oldest.sha256)
    }
  }

  #warn(error: unknown): void {
    if (this.#warned) {
      return
    }
    this.#warned = true
    const full = error instanceof DOMException && error.name === 'QuotaExceededError'
    const why = full ? 'the disk is full' : 'the storage of this site cannot be written'
    this.warn(`Layers work, but are not all kept for the next visit: ${why}.`)
  }
}

/** A kept shard on loan. What fails in keeping it ends the keeping, not the load. */
export class KeptLoad {
  #keeping = true

  constructor(
    private readonly stored: StoredShard,
    private readonly shard: Shard,
    private readonly about: About,
    private readonly end: () => void,
    private readonly failed: (error: unknown) => Promise<void>,
  ) {}

  get whole(): boolean {
    return this.stored.whole
  }

  /** Undefined where the part is missing, also because the storage was cleared meanwhile. */
  async read(part: Part): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return await this.stored.read(part)
    } catch {
      return undefined
    }
  }

  write(part: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#try(() => this.stored.write(part, bytes))
  }

  /** Says that the shard is whole and was used now. */
  finish(): Promise<void> {
    const { sha256, bytes } = this.shard
    return this.#try(() => this.stored.finish({ sha256, bytes, ...this.about, used: Date.now() }))
  }

  release(): void {
    if (this.#keeping) {
      this.#keeping = false
      this.end()
    }
  }

  async #try(work: () => Promise<void>): Promise<void> {
    if (!this.#keeping) {
      return
    }
    try {
      await work()
    } catch (error) {
      this.release()
      await this.failed(error)
    }
  }
}

/** A lock over all pages of the origin: how to let go of it, or undefined where another page holds it for too long. */
function lock(name: string, signal: AbortSignal): Promise<(() => void) | undefined> {
  const locks = (navigator as Partial<Navigator>).locks
  if (locks === undefined) {
    return Promise.resolve(() => undefined)
  }
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const waiting = new AbortController()
    const stop = () => waiting.abort()
    const timer = setTimeout(stop, LOCK_MS)
    signal.addEventListener('abort', stop, { once: true })
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
    const held = () =>
      new Promise<void>((release) => {
        settle()
        resolve(release)
      })
    locks.request(name, { signal: waiting.signal }, held).catch(() => {
      settle()
      if (signal.aborted) {
        reject(signal.reason)
      } else {
        resolve(undefined)
      }
    })
  })
}
