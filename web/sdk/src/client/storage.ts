import { CacheStore } from '../shards/store/cache-store'
import type { MemoryStore } from '../shards/store/memory-store'
import { OpfsStore } from '../shards/store/opfs-store'
import type { ShardRecord } from '../shards/store/store'
import { forgetManifests } from './kept-manifests'

/** A whole shard that is kept. */
export interface KeptShard extends ShardRecord {
  /** On the `disk` for the next visit, or for want of room there in this client's `memory` until it is closed. */
  readonly where: 'disk' | 'memory'
}

/** What this origin keeps on the disk, of all models and pages, and what one client keeps in memory. */
export class ShardStorage {
  constructor(private readonly memory: MemoryStore) {}

  /** Whole shards; an empty list where nothing is kept. */
  async list(): Promise<KeptShard[]> {
    const lists = await Promise.all((await stores()).map((store) => store.list()))
    return [
      ...lists.flat().map((record) => ({ ...record, where: 'disk' as const })),
      ...this.memory.list().map((record) => ({ ...record, where: 'memory' as const })),
    ]
  }

  /** Forgets all of them, halves of shards too, and the manifests. What is on the GPU stays there. */
  async clear(): Promise<void> {
    this.memory.clear()
    await Promise.all([...(await stores()).map((store) => store.clear()), forgetManifests()])
  }
}

/** Stores that this browser has; a page may have written to either, by its worker or without one. */
async function stores(): Promise<(OpfsStore | CacheStore)[]> {
  const opened = await Promise.allSettled([OpfsStore.open(), CacheStore.open()])
  return opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

/** Asks the browser, once for this origin, not to give up what is kept when its disk runs short. */
export async function askToPersist(): Promise<void> {
  const ASKED = 'splitcompute.persist'
  try {
    if (localStorage.getItem(ASKED) === null && !(await navigator.storage.persisted())) {
      localStorage.setItem(ASKED, 'asked')
      await navigator.storage.persist()
    }
  } catch {
    // Without storage there is nothing to keep.
  }
}
