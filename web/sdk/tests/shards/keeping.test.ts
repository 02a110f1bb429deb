import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Shard } from '../../src/client/manifest'
import { ShardKeeper } from '../../src/shards/shard-keeper'
import { MemoryStore } from '../../src/shards/store/memory-store'
import type { KeptShard, ShardStore, StoredShard } from '../../src/shards/store/store'

const QUOTA = 1_000
const ABOUT = { model: 'm', unit: 'layer.0', dtype: 'f16' }

/** A disk of so many bytes, of which it tells what is taken. */
class FakeDisk implements ShardStore {
  readonly kind = 'opfs'
  readonly #store = new MemoryStore()

  open(sha256: string): Promise<StoredShard> {
    return this.#store.open(sha256)
  }

  list(): Promise<KeptShard[]> {
    return this.#store.list()
  }

  delete(sha256: string): Promise<void> {
    return this.#store.delete(sha256)
  }

  async put(sha256: string, bytes: number, used: number): Promise<void> {
    const stored = await this.open(sha256)
    await stored.finish({ sha256, bytes, ...ABOUT, used })
  }

  async kept(): Promise<string[]> {
    return (await this.list()).map(({ sha256 }) => sha256).sort()
  }

  async usage(): Promise<number> {
    return (await this.list()).reduce((sum, { bytes }) => sum + bytes, 0)
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

  beforeEach(async () => {
    disk = new FakeDisk()
    warnings = []
    vi.stubGlobal('navigator', {
      storage: { estimate: async () => ({ quota: QUOTA, usage: await disk.usage() }) },
    })
    await disk.put('recent', 300, 3)
    await disk.put('oldest', 300, 1)
    await disk.put('older', 300, 2)
  })

  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('shouldGiveUpTheLeastRecentlyUsedShardsOfOthersFirst', async () => {
    const kept = await keeper('new').borrow(shard('new', 500), ABOUT, signal)
    expect(kept).toBeDefined()
    expect(await disk.kept()).toEqual(['recent'])
    expect(warnings).toEqual([])
  })

  it('shouldGiveUpNothingWhileThereIsRoom', async () => {
    await keeper('new').borrow(shard('new', 100), ABOUT, signal)
    expect(await disk.kept()).toEqual(['older', 'oldest', 'recent'])
  })

  it('shouldNotGiveUpWhatThisPageWants', async () => {
    await keeper('new', 'oldest').borrow(shard('new', 300), ABOUT, signal)
    expect(await disk.kept()).toEqual(['oldest', 'recent'])
  })

  it('shouldCountWhatOtherLoadsAreAboutToWrite', async () => {
    const loading = keeper('new', 'newer')
    await loading.borrow(shard('new', 100), ABOUT, signal)
    await loading.borrow(shard('newer', 100), ABOUT, signal)
    expect(await disk.kept()).toEqual(['older', 'recent'])
  })

  it('shouldLoadWithoutKeepingAndSayWhyWhenNothingIsLeftToGiveUp', async () => {
    const full = keeper('new', 'recent', 'oldest', 'older')
    expect(await full.borrow(shard('new', 500), ABOUT, signal)).toBeUndefined()
    expect(await full.borrow(shard('new', 500), ABOUT, signal)).toBeUndefined()
    expect(warnings).toEqual([expect.stringContaining('the disk is full')])
    expect(await disk.kept()).toEqual(['older', 'oldest', 'recent'])
  })
})
