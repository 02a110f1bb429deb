import type { Part } from '../../client/manifest'
import type { KeptShard, ShardStore, StoredShard } from './store'

/** Most bytes that are kept, a fraction of what a tab may have; the GPU has the same bytes once more. */
const LIMIT = 256 * 1024 ** 2

interface Entry {
  readonly parts: Map<number, Uint8Array<ArrayBuffer>>
  record: KeptShard | undefined
}

/** This thread's memory: spares a download when the GPU is lost, and ends with the page. */
export class MemoryStore implements ShardStore {
  readonly kind = 'memory'
  readonly #entries = new Map<string, Entry>()

  async open(sha256: string): Promise<StoredShard> {
    let entry = this.#entries.get(sha256)
    if (entry === undefined) {
      entry = { parts: new Map(), record: undefined }
      this.#entries.set(sha256, entry)
    }
    return new MemoryShard(entry, () => this.#bytes())
  }

  async list(): Promise<KeptShard[]> {
    return [...this.#entries.values()].flatMap(({ record }) => (record === undefined ? [] : [record]))
  }

  async unfinished(): Promise<string[]> {
    return [...this.#entries].flatMap(([sha256, { record }]) => (record === undefined ? [sha256] : []))
  }

  async delete(sha256: string): Promise<void> {
    this.#entries.delete(sha256)
  }

  async clear(): Promise<void> {
    this.#entries.clear()
  }

  #bytes(): number {
    let bytes = 0
    for (const { parts } of this.#entries.values()) {
      for (const part of parts.values()) {
        bytes += part.byteLength
      }
    }
    return bytes
  }
}

class MemoryShard implements StoredShard {
  readonly whole: boolean
  readonly size = undefined

  constructor(
    private readonly entry: Entry,
    private readonly used: () => number,
  ) {
    this.whole = entry.record !== undefined
  }

  async read(part: Part): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.entry.parts.get(part.offset)
  }

  async reserve(): Promise<void> {}

  async write(part: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.used() + bytes.byteLength > LIMIT) {
      throw new DOMException('The memory store is full.', 'QuotaExceededError')
    }
    this.entry.parts.set(part.offset, bytes.slice())
  }

  async finish(shard: KeptShard): Promise<void> {
    this.entry.record = shard
  }

  close(): void {}
}
