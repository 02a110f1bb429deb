import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Shard } from '../../src/client/manifest'
import { PartHasher } from '../../src/shards/part-hasher'
import { ShardKeeper } from '../../src/shards/shard-keeper'
import { ShardSource } from '../../src/shards/shard-source'
import { SignedUrls } from '../../src/shards/signed-urls'
import type { Shelf } from '../../src/shards/store/store'
import { FakeHashThread } from '../support/hash-threads'

const SHARD: Shard = { sha256: 'a', bytes: 1, parts: [{ offset: 0, bytes: 1, sha256: 'a' }] }
const ABOUT = { model: 'm', unit: 'layer.0', dtype: 'f16' }
const nothing = () => undefined

describe('a source of shards', () => {
  beforeEach(() => {
    vi.stubGlobal('navigator', {})
  })

  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('shouldEndTheThreadThatHashesWhenAnotherPageHasDownloadedTheShardMeanwhile', async () => {
    // The shard is there by the time that it is opened.
    const shelf: Shelf = {
      has: async () => false,
      open: async () => ({
        whole: true,
        size: 1,
        read: async () => new Uint8Array(1),
        reserve: async () => nothing(),
        write: async () => nothing(),
        finish: async () => nothing(),
        close: nothing,
      }),
      delete: async () => nothing(),
    }
    const keeper = new ShardKeeper(undefined, shelf, new Set([SHARD.sha256]), nothing)
    const urls = new SignedUrls(
      async () => [{ sha256: SHARD.sha256, url: '', expires: Date.now() + 60_000 }],
      [],
    )
    const thread = new FakeHashThread()
    const source = new ShardSource(keeper, urls, new PartHasher(thread), 10)
    const { signal } = new AbortController()
    await source.prepare(SHARD, signal)
    expect(thread).toMatchObject({ starts: 1, ends: 0 })
    const use = async () => nothing()
    const from = await source.bring(SHARD, ABOUT, { signal, onBytes: nothing }, use, use)
    expect(from).toBe('disk')
    expect(thread).toMatchObject({ starts: 1, ends: 1 })
  })
})
