import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Shard } from '../../src/client/manifest'
import { ShardKeeper } from '../../src/shards/shard-keeper'
import { MemoryStore } from '../../src/shards/store/memory-store'
import { OpfsStore } from '../../src/shards/store/opfs-store'
import type { ShardRecord, ShardStore, StoredShard } from '../../src/shards/store/store'

const QUOTA = 1_000
const ABOUT = { model: 'm', unit: 'layer.0', dtype: 'f16' }

interface Entry {
  size: number
  record: ShardRecord | undefined
}

/** A disk of so many bytes: what is reserved is taken at once, whether or not a record says that it is whole. */
class FakeDisk implements ShardStore {
  readonly entries = new Map<string, Entry>()
  readonly steps: string[] = []
  /** The disk under a file that has its room already. */
  broken = false

  async has(sha256: string): Promise<boolean> {
    return this.entries.get(sha256)?.record !== undefined
  }

  async open(sha256: string): Promise<StoredShard> {
    const entry = this.entries.get(sha256) ?? { size: 0, record: undefined }
    this.entries.set(sha256, entry)
    return {
      get size() {
        return entry.size
      },
      whole: entry.record !== undefined,
      read: async () => undefined,
      reserve: async (bytes) => {
        if (this.usage - entry.size + bytes > QUOTA) {
          throw new DOMException('Full.', 'QuotaExceededError')
        }
        entry.size = bytes
      },
      write: async ({ offset, bytes }) => {
        if (this.broken) {
          throw new DOMException('Full.', 'QuotaExceededError')
        }
        entry.size = Math.max(entry.size, offset + bytes)
      },
      finish: async (record, signal) => {
        signal.throwIfAborted()
        entry.record = record
      },
      close: () => {
        this.steps.push(`close ${sha256}`)
      },
    }
  }

  async list(): Promise<ShardRecord[]> {
    return [...this.entries.values()].flatMap(({ record }) => (record === undefined ? [] : [record]))
  }

  async unfinished(): Promise<string[]> {
    return [...this.entries].flatMap(([sha256, { record }]) => (record === undefined ? [sha256] : []))
  }

  async delete(sha256: string): Promise<void> {
    this.steps.push(`delete ${sha256}`)
    this.entries.delete(sha256)
  }

  put(sha256: string, bytes: number, used: number | undefined): void {
    const record = used === undefined ? undefined : { sha256, bytes, ...ABOUT, used }
    this.entries.set(sha256, { size: bytes, record })
  }

  get usage(): number {
    return [...this.entries.values()].reduce((sum, { size }) => sum + size, 0)
  }

  get names(): string[] {
    return [...this.entries.keys()].sort()
  }
}

/** The locks of an origin; one that is held elsewhere is never had. */
function locksOf(steps: string[], elsewhere: readonly string[] = []) {
  const request = async (
    name: string,
    { ifAvailable = false, signal }: LockOptions,
    held: (lock: object | null) => Promise<void> | undefined,
  ): Promise<void> => {
    if (!elsewhere.includes(name)) {
      await held({})
      steps.push(`unlock ${name.replace('splitcompute:', '')}`)
    } else if (ifAvailable) {
      await held(null)
    } else {
      await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    }
  }
  return { request }
}

function shard(sha256: string, bytes: number): Shard {
  return { sha256, bytes, parts: [{ offset: 0, bytes, sha256 }] }
}

const { signal } = new AbortController()

describe('a disk that is short of room', () => {
  let disk: FakeDisk
  let memory: FakeDisk
  let warnings: string[]
  const keeper = (...wanted: string[]) =>
    new ShardKeeper(disk, memory, new Set(wanted), (warning) => warnings.push(warning))

  /** Loads a shard of one part as a download does. */
  async function load(keeping: ShardKeeper, sha256: string, bytes: number): Promise<void> {
    const wanted = shard(sha256, bytes)
    const kept = await keeping.borrow(wanted, ABOUT, signal)
    const [part] = wanted.parts
    if (part !== undefined) {
      await kept?.write(part, new Uint8Array(bytes))
    }
    await kept?.finish()
    await kept?.release()
  }

  beforeEach(() => {
    disk = new FakeDisk()
    memory = new FakeDisk()
    warnings = []
    vi.stubGlobal('navigator', {
      storage: { estimate: async () => ({ quota: QUOTA, usage: disk.usage }) },
    })
    disk.put('recent', 300, 3)
    disk.put('oldest', 300, 1)
    disk.put('older', 300, 2)
  })

  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('shouldGiveUpTheLeastRecentlyUsedShardsOfOthersFirst', async () => {
    await load(keeper('new'), 'new', 500)
    expect(disk.names).toEqual(['new', 'recent'])
    expect(warnings).toEqual([])
  })

  it('shouldGiveUpNothingWhileThereIsRoom', async () => {
    await load(keeper('new'), 'new', 100)
    expect(disk.names).toEqual(['new', 'older', 'oldest', 'recent'])
  })

  it('shouldNotGiveUpWhatThisPageWants', async () => {
    await load(keeper('new', 'oldest'), 'new', 300)
    expect(disk.names).toEqual(['new', 'oldest', 'recent'])
  })

  it('shouldGiveUpWhatWasLeftUnfinishedBeforeAnyWholeShard', async () => {
    disk.put('half', 100, undefined)
    await load(keeper('new'), 'new', 100)
    expect(disk.names).toEqual(['new', 'older', 'oldest', 'recent'])
  })

  it('shouldCountWhatOtherLoadsAreAboutToTake', async () => {
    const loading = keeper('a', 'b', 'c')
    await Promise.all([load(loading, 'a', 100), load(loading, 'b', 100), load(loading, 'c', 100)])
    expect(disk.names).toEqual(['a', 'b', 'c', 'older', 'recent'])
    expect(warnings).toEqual([])
  })

  it('shouldAskForNoMoreRoomThanAnInterruptedShardLacks', async () => {
    disk.entries.delete('older')
    disk.put('new', 350, undefined)
    await load(keeper('new'), 'new', 400)
    expect(disk.names).toEqual(['new', 'oldest', 'recent'])
  })

  it('shouldTakeNoRoomForAShardOfWhichNothingArrives', async () => {
    const kept = await keeper('new').borrow(shard('new', 500), ABOUT, signal)
    await kept?.release()
    expect(disk.names).toEqual(['older', 'oldest', 'recent'])
  })

  it('shouldBeReplacedByMemoryAndSaySoOnceWhenNothingIsLeftToGiveUp', async () => {
    const full = keeper('new', 'newer', 'recent', 'oldest', 'older')
    await load(full, 'new', 500)
    await load(full, 'newer', 500)
    expect(warnings).toEqual([expect.stringContaining('the disk is full')])
    expect(disk.names).toEqual(['older', 'oldest', 'recent'])
    expect(memory.names).toEqual(['new', 'newer'])
    const kept = await full.borrow(shard('new', 500), ABOUT, signal)
    expect(kept?.whole).toBe(true)
    await kept?.release()
  })

  it('shouldNotStopALoadWhenMemoryIsFullToo', async () => {
    const full = keeper('new', 'recent', 'oldest', 'older')
    memory.broken = true
    await load(full, 'new', 500)
    expect(warnings).toHaveLength(1)
    expect([...disk.names, ...memory.names]).toEqual(['older', 'oldest', 'recent'])
  })

  describe('that other pages use too', () => {
    const share = (...elsewhere: string[]) =>
      vi.stubGlobal('navigator', {
        storage: { estimate: async () => ({ quota: QUOTA, usage: disk.usage }) },
        locks: locksOf(
          disk.steps,
          elsewhere.map((sha256) => `splitcompute:${sha256}`),
        ),
      })

    it('shouldNotGiveUpWhatOneOfThemHas', async () => {
      share('oldest')
      await load(keeper('new'), 'new', 300)
      expect(disk.names).toEqual(['new', 'oldest', 'recent'])
    })

    it('shouldForgetWhatCannotBeWrittenBeforeAnotherMayHaveIt', async () => {
      share()
      disk.broken = true
      await load(keeper('new'), 'new', 100)
      expect(disk.steps).toEqual(['close new', 'delete new', 'unlock new'])
      expect(warnings).toHaveLength(1)
    })

    it('shouldForgetAWrongShardOnlyWhileNobodyElseHasIt', async () => {
      share()
      await keeper('recent').forget('recent', signal)
      expect(disk.steps).toEqual(['delete recent', 'unlock recent'])
    })

    it('shouldForgetWhatProvedWrongBeforeItIsLentAnew', async () => {
      share()
      const kept = await keeper('recent').borrow(shard('recent', 300), ABOUT, signal, true)
      expect(kept?.whole).toBe(false)
      expect(disk.steps).toEqual(['delete recent'])
      await kept?.release()
    })
  })

  describe('and a load that is aborted', () => {
    it('shouldLeaveNoRecord', async () => {
      const aborting = new AbortController()
      const kept = await keeper('new').borrow(shard('new', 100), ABOUT, aborting.signal)
      await kept?.write({ offset: 0, bytes: 100, sha256: 'new' }, new Uint8Array(100))
      aborting.abort(new Error('Enough.'))
      await expect(kept?.finish()).rejects.toThrow('Enough.')
      await kept?.release()
      expect(disk.entries.get('new')).toEqual({ size: 100, record: undefined })
      expect(warnings).toEqual([])
    })

    it('shouldGiveUpNothingForIt', async () => {
      const aborting = new AbortController()
      const kept = await keeper('new').borrow(shard('new', 500), ABOUT, aborting.signal)
      const written = kept?.write({ offset: 0, bytes: 500, sha256: 'new' }, new Uint8Array(500))
      aborting.abort(new Error('Enough.'))
      await expect(written).rejects.toThrow('Enough.')
      await kept?.release()
      expect(disk.names).toEqual(['older', 'oldest', 'recent'])
    })
  })
})

describe('the memory of a page', () => {
  const bytes = (count: number) => new Uint8Array(count)

  it('shouldHoldAShardForWholeOnlyWithAllItsBytes', () => {
    const store = new MemoryStore()
    expect(store.write('a', 4, bytes(4))).toBe(true)
    const record: ShardRecord = { sha256: 'a', bytes: 8, ...ABOUT, used: 1 }
    expect(store.finish(record)).toBe(false)
    expect(store.list()).toEqual([])
    store.write('a', 0, bytes(4))
    expect(store.finish(record)).toBe(true)
    expect(store.list()).toEqual([record])
  })

  it('shouldHaveRoomAgainForWhatItForgot', () => {
    const store = new MemoryStore()
    const half = bytes(128 * 1024 ** 2)
    expect([store.write('a', 0, half), store.write('b', 0, half)]).toEqual([true, true])
    expect(store.write('c', 0, bytes(1))).toBe(false)
    store.delete('a')
    expect(store.write('c', 0, bytes(1))).toBe(true)
  })
})

describe('the private file system', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('shouldReadARecordAgainThatAnotherPageWroteMeanwhile', async () => {
    const record: ShardRecord = { sha256: 'a', bytes: 8, ...ABOUT, used: 1 }
    let reads = 0
    const file = {
      text: async () => {
        reads++
        if (reads === 1) {
          throw new DOMException('Changed.', 'NotReadableError')
        }
        return JSON.stringify(record)
      },
    }
    const folder = {
      keys: async function* () {
        yield* ['a.safetensors', 'a.json', 'b.safetensors']
      },
      getFileHandle: async () => ({ getFile: async () => file }),
    }
    vi.stubGlobal('navigator', {
      storage: { getDirectory: async () => ({ getDirectoryHandle: async () => folder }) },
    })
    const store = await OpfsStore.open()
    expect(await store.list()).toEqual([record])
    expect(reads).toBe(2)
    expect(await store.unfinished()).toEqual(['b'])
  })
})
