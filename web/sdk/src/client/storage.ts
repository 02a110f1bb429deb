import { CacheStore } from '../shards/store/cache-store'
import { OpfsStore } from '../shards/store/opfs-store'
import type { KeptShard } from '../shards/store/store'
import { forgetManifests } from './kept-manifests'

/** What this origin keeps on the disk for the next visit, of all models and pages. */
export class ShardStorage {
  /** Whole shards; an empty list where this browser keeps nothing. */
  async list(): Promise<KeptShard[]> {
    const lists = (await stores()).map((store) => store.list())
    return (await Promise.all(lists)).flat()
  }

  /** Forgets all of them, and the manifests. What is on the GPU stays there. */
  async clear(): Promise<void> {
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
