import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Shard } from '../../src/client/manifest'
import { ShardKeeper } from '../../src/shards/shard-keeper'
import type { KeptShard, ShardStore, StoredShard } from '../../src/shards/store/store'

const QUOTA = 1_000
const ABOUT = { model: 'm', unit: 'layer.0', dtype: 'f16' }

interface Entry {
  size: number
  record: KeptShard | undefined
}

/** A disk of so many bytes: what is reserved is taken at once, whether or not a record says that it is whole. */
class FakeDisk implements ShardStore {
  readonly kind = 'opfs'
  readonly entries = new Map<string, Entry>()

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
      write: async () => undefined,
      finish: async (record) => {
        entry.record = record
      },
      close: () => undefined,
    }
  }

  async list(): Promise<KeptShard[]> {
    return [...this.entries.values()].flatMap(({ record }) => (record === undefined ? [] : [record]))
  }

  async unfinished(): Promise<string[]> {
    return [...this.entries].flatMap(([sha256, { record }]) => (record === undefined ? [sha256] : []))
  }

  async delete(sha256: string): Promise<void> {
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

function shard(sha256: string, bytes: number): Shard {
  return { sha256, bytes, parts: [{ offset: 0, bytes, sha256 }] }
}

const { signal } = new AbortController()

describe('a disk that is short of room', () => {
  let disk: FakeDisk
  let warnings: string[]
  const keeper = (...wanted: string[]) =>
    new ShardKeeper(disk, new Set(wanted), (warning) => warnings.push(warning))

  /** Loads a shard of one part as a download does. */
  async function load(keeping: ShardKeeper, sha256: string, bytes: number): Promise<void> {
    const wanted = shard(sha256, bytes)
    const kept = await keeping.borrow(wanted, ABOUT, signal)
    const [part] = wanted.parts
    if (part !== undefined) {
      await kept?.write(part, new Uint8Array(bytes))
    }
    await kept?.finish()
    kept?.release()
  }

  beforeEach(() => {
    disk = new FakeDisk()
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
    kept?.release()
    await vi.waitFor(() => expect(disk.names).toEqual(['older', 'oldest', 'recent']))
  })

  it('shouldLoadWithoutKeepingAndSayWhyOnceWhenNothingIsLeftToGiveUp', async () => {
    const full = keeper('new', 'newer', 'recent', 'oldest', 'older')
    await load(full, 'new', 500)
    await load(full, 'newer', 500)
    expect(warnings).toEqual([expect.stringContaining('the disk is full')])
    expect(disk.names).toEqual(['older', 'oldest', 'recent'])
  })
})
