import type { Part, Shard } from '../client/manifest'
import type { ShardStore, Shelf, StoredShard } from './store/store'

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
 * that cannot be, a shard is kept in memory or not at all: storage never stops a load.
 */
export class ShardKeeper {
  /** Bytes that are about to be taken: the browser's estimate does not know them yet. */
  #promised = 0
  #warned = false

  /**
   * @param disk undefined where this thread has none
   * @param memory for what the disk has no room for
   * @param wanted shards that are not given up for others
   * @param warn told once that shards are not kept for the next visit, and why
   */
  constructor(
    private readonly disk: ShardStore | undefined,
    private readonly memory: Shelf,
    private readonly wanted: ReadonlySet<string>,
    private readonly warn: (warning: string) => void,
  ) {}

  async has({ sha256 }: Shard): Promise<boolean> {
    return (await this.memory.has(sha256)) || ((await this.disk?.has(sha256)) ?? false)
  }

  /**
   * The shard as it is kept, or undefined where another page has it. To be released.
   *
   * @param anew forgets first what is kept of it
   */
  async borrow(shard: Shard, about: About, signal: AbortSignal, anew = false): Promise<KeptLoad | undefined> {
    const { sha256, bytes } = shard
    const unlock = await lock(sha256, signal)
    if (unlock === undefined) {
      return undefined
    }
    try {
      if (anew) {
        await this.#delete(sha256)
      }
      const onDisk = await this.#openOnDisk(sha256)
      const stored = onDisk ?? (await this.memory.open(sha256))
      return new KeptLoad(stored, shard, about, signal, {
        reserve: async () =>
          onDisk === undefined ? stored : await this.#reserve(onDisk, sha256, bytes, signal),
        end: (left, error) => this.#end(left, sha256, unlock, error),
      })
    } catch (error) {
      unlock()
      throw error
    }
  }

  /** Forgets a shard whose bytes proved wrong. A page that has it for long will prove it itself. */
  async forget(sha256: string, signal: AbortSignal): Promise<void> {
    const unlock = await lock(sha256, signal)
    if (unlock !== undefined) {
      await this.#delete(sha256)
      unlock()
    }
  }

  async #delete(sha256: string): Promise<void> {
    await Promise.allSettled([this.disk?.delete(sha256), this.memory.delete(sha256)])
  }

  async #openOnDisk(sha256: string): Promise<StoredShard | undefined> {
    if (await this.memory.has(sha256)) {
      return undefined
    }
    try {
      return await this.disk?.open(sha256)
    } catch (error) {
      this.#warn(error)
      return undefined
    }
  }

  /** @param error why it is not kept any longer */
  async #end(stored: StoredShard, sha256: string, unlock: () => void, error: unknown): Promise<void> {
    try {
      const { size } = stored
      stored.close()
      // What nothing was written to is not left behind.
      if (error !== undefined || size === 0) {
        await this.#delete(sha256)
      }
    } catch {
      // A handle whose file was cleared away is closed already.
    } finally {
      unlock()
    }
    if (error !== undefined) {
      this.#warn(error)
    }
  }

  /** Takes the room of a shard, for which others are given up where it is short; where there is none, memory takes its place. */
  async #reserve(
    stored: StoredShard,
    sha256: string,
    bytes: number,
    signal: AbortSignal,
  ): Promise<StoredShard> {
    const more = Math.max(0, bytes - (stored.size ?? 0))
    this.#promised += more
    try {
      await this.#makeRoom(signal)
      await stored.reserve(bytes, signal)
      return stored
    } catch (error) {
      signal.throwIfAborted()
      this.#warn(error)
    } finally {
      this.#promised -= more
    }
    stored.close()
    await this.#delete(sha256)
    return await this.memory.open(sha256)
  }

  /** Gives up what was left unfinished, then the least recently used shards, as far as nobody here wants them, until what is promised is free. */
  async #makeRoom(signal: AbortSignal): Promise<void> {
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
      // One that another load has is not given up.
      const unlock = await lockIfFree(next)
      try {
        signal.throwIfAborted()
        if (unlock !== undefined) {
          await this.#delete(next)
        }
      } finally {
        unlock?.()
      }
    }
  }

  /** What may be given up, the first to go first. */
  async #others(): Promise<string[]> {
    const whole = ((await this.disk?.list()) ?? []).sort((a, b) => a.used - b.used)
    const all = [...((await this.disk?.unfinished()) ?? []), ...whole.map(({ sha256 }) => sha256)]
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

interface Loan {
  /** Takes the room for the whole shard: there, or where this leads. */
  readonly reserve: () => Promise<StoredShard>
  /** Closes the shard, and forgets it where keeping it failed. */
  readonly end: (stored: StoredShard, error?: unknown) => Promise<void>
}

/** A kept shard on loan. What fails in keeping it ends the keeping, not the load; once the load is aborted, nothing is written. */
export class KeptLoad {
  #keeping = true
  #reserved: Promise<void> | undefined
  #stored: StoredShard

  constructor(
    stored: StoredShard,
    private readonly shard: Shard,
    private readonly about: About,
    private readonly signal: AbortSignal,
    private readonly loan: Loan,
  ) {
    this.#stored = stored
  }

  get whole(): boolean {
    return this.#stored.whole
  }

  /** Undefined where the part is missing, also because the storage was cleared meanwhile. */
  async read(part: Part): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return await this.#stored.read(part)
    } catch {
      return undefined
    }
  }

  /** Takes the room for the shard, which the first `write` waits for. */
  reserve(): Promise<void> {
    this.#reserved ??= this.#try(async () => {
      this.#stored = await this.loan.reserve()
    })
    return this.#reserved
  }

  /** @throws the signal's reason once it aborts */
  async write(part: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.reserve()
    await this.#try(() => this.#stored.write(part, bytes))
  }

  /**
   * Says that the shard is whole and was used now.
   *
   * @throws the signal's reason once it aborts
   */
  finish(): Promise<void> {
    const { sha256, bytes } = this.shard
    const record = { sha256, bytes, ...this.about, used: Date.now() }
    return this.#try(() => this.#stored.finish(record, this.signal))
  }

  async release(): Promise<void> {
    if (this.#keeping) {
      this.#keeping = false
      await this.loan.end(this.#stored)
    }
  }

  async #try(work: () => Promise<void>): Promise<void> {
    this.signal.throwIfAborted()
    if (!this.#keeping) {
      return
    }
    try {
      await work()
    } catch (error) {
      this.signal.throwIfAborted()
      if (this.#keeping) {
        this.#keeping = false
        await this.loan.end(this.#stored, error)
      }
    }
  }
}

/** A lock over all pages of the origin: how to let go of it, or undefined where another page holds it for too long. */
function lock(sha256: string, signal: AbortSignal): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const waiting = new AbortController()
    const stop = () => waiting.abort()
    const timer = setTimeout(stop, LOCK_MS)
    signal.addEventListener('abort', stop, { once: true })
    request(sha256, { signal: waiting.signal })
      .catch(() => undefined)
      .finally(() => {
        clearTimeout(timer)
        signal.removeEventListener('abort', stop)
      })
      .then((unlock) => {
        if (signal.aborted) {
          unlock?.()
          reject(signal.reason)
        } else {
          resolve(unlock)
        }
      })
  })
}

/** The same lock, or undefined where anybody holds it. */
function lockIfFree(sha256: string): Promise<(() => void) | undefined> {
  return request(sha256, { ifAvailable: true }).catch(() => undefined)
}

/** How to let go of the lock once it is had, or undefined where it is not. */
function request(sha256: string, options: LockOptions): Promise<(() => void) | undefined> {
  const locks = (navigator as Partial<Navigator>).locks
  if (locks === undefined) {
    return Promise.resolve(() => undefined)
  }
  return new Promise((resolve, reject) => {
    const held = (lock: Lock | null) =>
      lock === null ? resolve(undefined) : new Promise<void>((release) => resolve(release))
    locks.request(`splitcompute:${sha256}`, options, held).catch(reject)
  })
}
