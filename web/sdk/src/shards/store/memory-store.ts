import type { ShardRecord } from './store'

/** Most bytes that are kept, a fraction of what a tab may have; the GPU has the same bytes once more. */
const LIMIT = 256 * 1024 ** 2

interface Entry {
  readonly parts: Map<number, Uint8Array<ArrayBuffer>>
  /** Once it is whole. */
  record: ShardRecord | undefined
}

/** A page's memory for shards that the disk has no room for: spares a download when the GPU or its worker is lost. */
export class MemoryStore {
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  /** Whole shards. */
  list(): ShardRecord[] {
    return [...this.#entries.values()].flatMap(({ record }) => (record === undefined ? [] : [record]))
  }

  read(sha256: string, offset: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#entries.get(sha256)?.parts.get(offset)
  }

  /** @returns whether there was room for it */
  write(sha256: string, offset: number, bytes: Uint8Array<ArrayBuffer>): boolean {
    const entry = this.#entries.get(sha256) ?? { parts: new Map(), record: undefined }
    const more = bytes.byteLength - (entry.parts.get(offset)?.byteLength ?? 0)
    if (this.#bytes + more > LIMIT) {
      return false
    }
    this.#bytes += more
    entry.parts.set(offset, bytes)
    this.#entries.set(sha256, entry)
    return true
  }

  /** @returns whether all the bytes of the shard are here, which is whole then */
  finish(record: ShardRecord): boolean {
    const entry = this.#entries.get(record.sha256)
    const whole = entry !== undefined && bytesOf(entry) === record.bytes
    if (entry !== undefined) {
      entry.record = whole ? record : undefined
    }
    return whole
  }

  delete(sha256: string): void {
    const entry = this.#entries.get(sha256)
    if (entry !== undefined) {
      this.#bytes -= bytesOf(entry)
      this.#entries.delete(sha256)
    }
  }

  clear(): void {
    this.#entries.clear()
    this.#bytes = 0
  }
}

function bytesOf({ parts }: Entry): number {
  return [...parts.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
}
