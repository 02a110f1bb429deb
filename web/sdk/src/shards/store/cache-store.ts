import type { Part } from '../../client/manifest'
import { parseRecord, type ShardRecord, type ShardStore, type StoredShard } from './store'

const CACHE = 'splitcompute-shards'
/** Keys of the Cache API are URLs; nothing is ever fetched from this host. */
const BASE = 'https://shards.invalid/'

/** Entries of the Cache API, one a part and one for the record: for threads that cannot open files. */
export class CacheStore implements ShardStore {
  private constructor(private readonly cache: Cache) {}

  /** @throws Error where the browser has no Cache API here */
  static async open(): Promise<CacheStore> {
    return new CacheStore(await caches.open(CACHE))
  }

  async open(sha256: string): Promise<StoredShard> {
    return new CachedShard(this.cache, sha256, await this.has(sha256))
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.#record(recordKey(sha256))) !== undefined
  }

  async list(): Promise<ShardRecord[]> {
    const keys = await this.cache.keys()
    const records = keys.map(({ url }) => url).filter((url) => url.endsWith('/record'))
    const shards = await Promise.all(records.map((url) => this.#record(url)))
    return shards.filter((shard) => shard !== undefined)
  }

  async unfinished(): Promise<string[]> {
    const paths = (await this.cache.keys()).map(({ url }) => url.slice(BASE.length).split('/'))
    const whole = new Set(paths.flatMap(([sha256, name]) => (name === 'record' ? [sha256] : [])))
    return [...new Set(paths.map(([sha256 = '']) => sha256))].filter((sha256) => !whole.has(sha256))
  }

  async delete(sha256: string): Promise<void> {
    await this.cache.delete(recordKey(sha256))
    for (const { url } of await this.cache.keys()) {
      if (url.startsWith(`${BASE}${sha256}/`)) {
        await this.cache.delete(url)
      }
    }
  }

  async clear(): Promise<void> {
    await caches.delete(CACHE)
  }

  async #record(url: string): Promise<ShardRecord | undefined> {
    const response = await this.cache.match(url)
    return response === undefined ? undefined : parseRecord(await response.text())
  }
}

class CachedShard implements StoredShard {
  readonly size = undefined

  constructor(
    private readonly cache: Cache,
    private readonly sha256: string,
    readonly whole: boolean,
  ) {}

  async read(part: Part): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const response = await this.cache.match(this.#key(part))
    const bytes = response && new Uint8Array(await response.arrayBuffer())
    return bytes?.byteLength === part.bytes ? bytes : undefined
  }

  async reserve(): Promise<void> {}

  async write(part: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.cache.put(this.#key(part), new Response(bytes))
  }

  async finish(shard: ShardRecord, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await this.cache.put(recordKey(this.sha256), new Response(JSON.stringify(shard)))
  }

  close(): void {}

  #key(part: Part): string {
    return `${BASE}${this.sha256}/${part.offset}`
  }
}

function recordKey(sha256: string): string {
  return `${BASE}${sha256}/record`
}
