import type { Part } from '../../client/manifest'

/** What a store knows of a whole shard. */
export interface ShardRecord {
  readonly sha256: string
  readonly bytes: number
  readonly model: string
  readonly unit: string
  readonly dtype: string
  /** When it was last used, in milliseconds since 1970. */
  readonly used: number
}

/**
 * Where shards stay, by SHA-256. A shard is kept part by part, and the record that says that it is whole is written last: a crash
 * never leaves a shard that claims to be whole.
 */
export interface Shelf {
  /** Whether a record says that the shard is whole. */
  has(sha256: string): Promise<boolean>

  /**
   * Opens a shard for one reader and writer; its lock is held by the caller.
   *
   * @throws Error where the storage is not to be had, for one because another page has the shard open
   */
  open(sha256: string): Promise<StoredShard>

  /** Forgets a shard, first that it was whole. One that a page has open stays until it is closed. */
  delete(sha256: string): Promise<void>
}

/** A shelf that lasts from one visit to the next. */
export interface ShardStore extends Shelf {
  /** Whole shards. */
  list(): Promise<ShardRecord[]>

  /** Shards that a visit before left unfinished, or that others are writing. */
  unfinished(): Promise<string[]>
}

/** One shard of a store while its bytes move. */
export interface StoredShard {
  /** Whether all parts are there and were verified when they came. */
  readonly whole: boolean

  /** Bytes that it takes of the disk already, where the storage tells. */
  readonly size: number | undefined

  /**
   * The bytes of a part, good until the next one is read; undefined where they are missing. They need not be the right ones
   * unless the shard is `whole`.
   */
  read(part: Part): Promise<Uint8Array<ArrayBuffer> | undefined>

  /**
   * Takes the room for all parts before the first one is written. From here on nothing says that the shard is whole.
   *
   * @throws Error `QuotaExceededError` among others; the signal's reason, and then no room is taken
   */
  reserve(bytes: number, signal: AbortSignal): Promise<void>

  /**
   * @param bytes the caller's, who uses them for other parts afterwards
   * @throws Error `QuotaExceededError` among others
   */
  write(part: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void>

  /**
   * Writes the record: all parts are there, or were used again just now.
   *
   * @throws Error the signal's reason, and then nothing is written
   */
  finish(shard: ShardRecord, signal: AbortSignal): Promise<void>

  close(): void
}

/** Reads a record back. What is not one, or is half of one, is as good as absent. */
export function parseRecord(text: string): ShardRecord | undefined {
  try {
    const { sha256, bytes, model, unit, dtype, used } = JSON.parse(text) as Partial<
      Record<keyof ShardRecord, unknown>
    >
    if (
      typeof sha256 === 'string' &&
      typeof bytes === 'number' &&
      typeof model === 'string' &&
      typeof unit === 'string' &&
      typeof dtype === 'string' &&
      typeof used === 'number'
    ) {
      return { sha256, bytes, model, unit, dtype, used }
    }
  } catch {
    // Handled like every other text that is no record.
  }
  return undefined
}
