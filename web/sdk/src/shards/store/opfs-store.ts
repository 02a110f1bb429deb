import type { Part } from '../../client/manifest'
import { parseRecord, type ShardRecord, type ShardStore, type StoredShard } from './store'

const FOLDER = 'splitcompute'
const DATA = '.safetensors'
const RECORD = '.json'

/** Files in the origin's private file system: `<sha256>.safetensors`, and `<sha256>.json` once it is whole. */
export class OpfsStore implements ShardStore {
  /** @throws Error where the browser has no private file system here */
  static async open(): Promise<OpfsStore> {
    const store = new OpfsStore()
    await store.#folder()
    return store
  }

  /** Sync access handles exist in dedicated workers alone. Without them, this store can only be listed and cleared. */
  static get canWrite(): boolean {
    return (
      typeof FileSystemFileHandle !== 'undefined' &&
      'createSyncAccessHandle' in FileSystemFileHandle.prototype &&
      typeof document === 'undefined'
    )
  }

  async open(sha256: string): Promise<StoredShard> {
    const folder = await this.#folder()
    const file = await folder.getFileHandle(sha256 + DATA, { create: true })
    const handle = await file.createSyncAccessHandle()
    try {
      const record = await readRecord(folder, sha256)
      const whole = record !== undefined && record.bytes === handle.getSize()
      return new OpfsShard(folder, sha256, handle, whole)
    } catch (error) {
      handle.close()
      throw error
    }
  }

  async has(sha256: string): Promise<boolean> {
    return (await readRecord(await this.#folder(), sha256)) !== undefined
  }

  async list(): Promise<ShardRecord[]> {
    const folder = await this.#folder()
    const shards: ShardRecord[] = []
    for await (const name of folder.keys()) {
      if (name.endsWith(RECORD)) {
        const record = await readRecord(folder, name.slice(0, -RECORD.length))
        if (record !== undefined) {
          shards.push(record)
        }
      }
    }
    return shards
  }

  async unfinished(): Promise<string[]> {
    // A record may be there and empty, where a page ended as it wrote it.
    const whole = new Set((await this.list()).map(({ sha256 }) => sha256))
    const unfinished: string[] = []
    for await (const name of (await this.#folder()).keys()) {
      const sha256 = name.slice(0, -DATA.length)
      if (name.endsWith(DATA) && !whole.has(sha256)) {
        unfinished.push(sha256)
      }
    }
    return unfinished
  }

  async delete(sha256: string): Promise<void> {
    const folder = await this.#folder()
    await remove(folder, sha256 + RECORD)
    await remove(folder, sha256 + DATA)
  }

  /** Forgets everything, halves of shards too. */
  async clear(): Promise<void> {
    const folder = await this.#folder()
    const names: string[] = []
    for await (const name of folder.keys()) {
      names.push(name)
    }
    for (const name of names.sort((a, b) => Number(b.endsWith(RECORD)) - Number(a.endsWith(RECORD)))) {
      await remove(folder, name)
    }
  }

  /** Looked up each time: the visitor may clear the site's storage while the page runs. */
  async #folder(): Promise<FileSystemDirectoryHandle> {
    const root = await navigator.storage.getDirectory()
    return await root.getDirectoryHandle(FOLDER, { create: true })
  }
}

class OpfsShard implements StoredShard {
  /** Reused: a buffer a part would be zeroed and collected each time. */
  #bytes: Uint8Array<ArrayBuffer> | undefined

  constructor(
    private readonly folder: FileSystemDirectoryHandle,
    private readonly sha256: string,
    private readonly handle: FileSystemSyncAccessHandle,
    readonly whole: boolean,
  ) {}

  async read(part: Part): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#bytes?.byteLength !== part.bytes) {
      this.#bytes = new Uint8Array(part.bytes)
    }
    const bytes = this.#bytes
    return this.handle.read(bytes, { at: part.offset }) === part.bytes ? bytes : undefined
  }

  get size(): number {
    return this.handle.getSize()
  }

  async reserve(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    // One that outlived its file would vouch for what is written only now.
    await this.folder.removeEntry(this.sha256 + RECORD).catch((error: unknown) => {
      if (!isNamed(error, 'NotFoundError')) {
        throw error
      }
    })
    signal.throwIfAborted()
    // A file that grows with each write asks the browser for room each time, which takes ten times as long as to write.
    this.handle.truncate(bytes)
  }

  async write(part: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.handle.write(bytes, { at: part.offset }) !== bytes.byteLength) {
      throw new DOMException('The disk is full.', 'QuotaExceededError')
    }
  }

  async finish(shard: ShardRecord, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.whole) {
      this.handle.flush()
    }
    const file = await this.folder.getFileHandle(shard.sha256 + RECORD, { create: true })
    const handle = await file.createSyncAccessHandle()
    try {
      signal.throwIfAborted()
      const bytes = new TextEncoder().encode(JSON.stringify(shard))
      // Shortened afterwards: whoever lists the store meanwhile finds no empty record.
      handle.write(bytes, { at: 0 })
      handle.truncate(bytes.byteLength)
    } finally {
      handle.close()
    }
  }

  close(): void {
    this.handle.close()
  }
}

async function readRecord(
  folder: FileSystemDirectoryHandle,
  sha256: string,
): Promise<ShardRecord | undefined> {
  for (let again = false; ; again = true) {
    try {
      const handle = await folder.getFileHandle(sha256 + RECORD)
      const record = parseRecord(await (await handle.getFile()).text())
      return record?.sha256 === sha256 ? record : undefined
    } catch (error) {
      // Unreadable is one that another page wrote anew between the file and its text.
      const unreadable = isNamed(error, 'NotReadableError')
      if (isNamed(error, 'NotFoundError') || (unreadable && again)) {
        return undefined
      }
      if (!unreadable) {
        throw error
      }
    }
  }
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof DOMException && error.name === name
}

async function remove(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  // Absent already, or open in another page, which then goes on using it.
  await folder.removeEntry(name).catch(() => undefined)
}
