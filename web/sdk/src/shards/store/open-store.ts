import { CacheStore } from './cache-store'
import { OpfsStore } from './opfs-store'
import type { ShardStore } from './store'

/** The best store that this thread has: files, then the Cache API; undefined where it has neither. */
export async function openStore(): Promise<ShardStore | undefined> {
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
  return undefined
}
