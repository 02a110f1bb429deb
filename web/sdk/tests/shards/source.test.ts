import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Shard } from '../../src/client/manifest'
import { PartHasher } from '../../src/shards/part-hasher'
import { ShardKeeper } from '../../src/shards/shard-keeper'
import { ShardSource } from '../../src/shards/shard-source'
import { SignedUrls } from '../../src/shards/signed-urls'
import type { Shelf } from '../../src/shards/store/store'
import { FakeHashThread } from '../support/hash-threads'

const BYTES = Uint8Array.of(1, 2, 3, 4)
const SHA256 = createHash('sha256').update(BYTES).digest('hex')
const SHARD: Shard = { sha256: SHA256, bytes: 4, parts: [{ offset: 0, bytes: 4, sha256: SHA256 }] }
const ABOUT = { model: 'm', unit: 'layer.0', dtype: 'f16' }
const { signal } = new AbortController()

/** A shelf that has the shard whole, or has nothing and keeps nothing. */
function shelf(holds: { whole: boolean }): Shelf {
  return {
    has: async () => holds.whole,
    open: async () => ({
      whole: holds.whole,
      size: undefined,
      read: async () => (holds.whole ? BYTES.slice() : undefined),
      reserve: async () => undefined,
      write: async () => undefined,
      finish: async () => undefined,
      close: () => undefined,
    }),
    delete: async () => undefined,
  }
}

describe('the thread that hashes', () => {
  let thread: FakeHashThread
  let holds: { whole: boolean }
  let signed: string[]
  let source: ShardSource

  beforeEach(() => {
    vi.stubGlobal('navigator', {})
    vi.stubGlobal('fetch', async () => new Response(BYTES.slice()))
    thread = new FakeHashThread()
    holds = { whole: false }
    signed = []
    const sign = async (sha256s: readonly string[]) => {
      signed.push(...sha256s)
      return sha256s.map((sha256) => ({ sha256, url: 'http://s3/', expires: Date.now() + 300_000 }))
    }
    const keeper = new ShardKeeper(undefined, shelf(holds), new Set(), () => undefined)
    const urls = new SignedUrls(sign, [SHA256])
    source = new ShardSource(keeper, urls, new PartHasher(thread), Number.POSITIVE_INFINITY)
  })

  afterEach(() => {
    source.close()
    vi.unstubAllGlobals()
  })

  const bring = () =>
    source.bring(
      SHARD,
      ABOUT,
      { signal, onBytes: () => undefined },
      async () => undefined,
      async () => undefined,
    )

  it('shouldNotBeginForADownloadThatMayNeverCome', async () => {
    await source.prepare(SHARD, signal)
    expect(signed).toEqual([SHA256])
    expect(thread.starts).toBe(0)
  })

  it('shouldNotBeginWhereAnotherPageHasKeptTheShardMeanwhile', async () => {
    await source.prepare(SHARD, signal)
    holds.whole = true
    expect(await bring()).toBe('disk')
    expect(thread.starts).toBe(0)
  })

  it('shouldBeginAndEndWithTheDownloads', async () => {
    await source.prepare(SHARD, signal)
    expect(await bring()).toBe('network')
    expect([thread.starts, thread.ends]).toEqual([1, 1])
  })
})
