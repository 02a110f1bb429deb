import { CacheStore } from './cache-store'
import { MemoryStore } from './memory-store'
import { OpfsStore } from './opfs-store'
import type { ShardStore } from './store'

/** Shared by every device of this thread. */
export const memoryStore = new MemoryStore()

/** The best store that this thread has: files, then the Cache API, then its memory. */
export async function openStore(): Promise<ShardStore> {
  if (OpfsStore.canWrite) {
    try {
      return await OpfsStore.open()
    } catch {
      // Private windows of some browsers have the interface and refuse the storage.
    }
  }
  if (typeof caches !== 'undefined') {
    try {
      return await CacheStore.open()
    } catch {
      // Opaque origins have no storage at all.
    }
  }
  return memoryStore
}
