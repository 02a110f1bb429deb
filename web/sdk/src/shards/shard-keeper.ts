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
  /** Bytes that are about to be taken: the browser's estimate does not know them yet. */
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
    let stored: StoredShard
    try {
      stored = await this.store.open(shard.sha256)
    } catch (error) {
      unlock()
      signal.throwIfAborted()
      this.#warn(error)
      return undefined
    }
    const release = () => {
      const { size } = stored
      stored.close()
      // What nothing was written to is not left behind.
      const left = size === 0 ? this.forget(shard.sha256) : Promise.resolve()
      left.then(unlock)
    }
    const failed = async (error: unknown) => {
      await this.forget(shard.sha256)
      this.#warn(error)
    }
    const reserve = () => this.#reserve(stored, shard.bytes)
    return new KeptLoad(stored, shard, about, reserve, release, failed)
  }

  /** Forgets a shard whose bytes proved wrong. */
  async forget(sha256: string): Promise<void> {
    await this.store.delete(sha256).catch(() => undefined)
  }

  /** Takes the room of a shard, for which others are given up where it is short. */
  async #reserve(stored: StoredShard, bytes: number): Promise<void> {
    const more = Math.max(0, bytes - (stored.size ?? 0))
    this.#promised += more
    try {
      await this.#makeRoom()
      await stored.reserve(bytes)
    } finally {
      this.#promised -= more
    }
  }

  /** Gives up what was left unfinished, then the least recently used shards, as far as nobody here wants them, until what is promised is free. */
  async #makeRoom(): Promise<void> {
    if (this.store.kind === 'memory') {
      return
    }
    let others: string[] | undefined
    for (;;) {
      const { quota, usage } = await navigator.storage.estimate()
      if (quota === undefined || usage === undefined || quota - usage >= this.#promised) {
        return
      }
      others ??= await this.#others()
      const next = others.shift()
      if (next === undefined) {
        throw new DOMException('The disk has no room for the next shard.', 'QuotaExceededError')
      }
      await this.forget(next)
    }
  }

  /** What may be given up, the first to go first. */
  async #others(): Promise<string[]> {
    const whole = (await this.store.list()).sort((a, b) => a.used - b.used)
    const all = [...(await this.store.unfinished()), ...whole.map(({ sha256 }) => sha256)]
    return all.filter((sha256) => !this.wanted.has(sha256))
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
  #reserved = false

  constructor(
    private readonly stored: StoredShard,
    private readonly shard: Shard,
    private readonly about: About,
    private readonly reserve: () => Promise<void>,
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
    return this.#try(async () => {
      if (!this.#reserved) {
        await this.reserve()
        this.#reserved = true
      }
      await this.stored.write(part, bytes)
    })
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
