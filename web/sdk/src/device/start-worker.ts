import { source } from 'virtual:worker'

/** What a worker does; its script finds it in the worker's name. */
export type WorkerName = 'splitcompute' | 'splitcompute-hashes'

/** A worker that has not answered by then does not start at all. */
export const START_MS = 10_000

/** Starts the SDK's own worker, or the page's where it has one; undefined where there is none to be had. */
export function startWorker(name: WorkerName, workerUrl: string | undefined): Worker | undefined {
  if (typeof Worker === 'undefined' || (source === '' && workerUrl === undefined)) {
    return undefined
  }
  const options = { type: 'module', name } as const
  try {
    if (workerUrl !== undefined) {
      return new Worker(
        new URL(workerUrl, globalThis.document?.baseURI ?? globalThis.location?.href),
        options,
      )
    }
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
    const worker = new Worker(url, options)
    // Revoked at once, a script that is still to be fetched would be gone.
    setTimeout(() => URL.revokeObjectURL(url), START_MS)
    return worker
  } catch {
    return undefined
  }
}
