import { serveHashes } from '../shards/hash-server'
import type { Port } from './channel'
import { DeviceServer } from './device-server'
import type { WorkerName } from './start-worker'

/** Serves a device to the page at the other end of a port. */
export function serve(port: Port): void {
  new DeviceServer(port)
}

declare const WorkerGlobalScope: (new () => object) | undefined

// The same module is imported by a page whose browser has WebGPU on the main thread alone.
if (typeof WorkerGlobalScope !== 'undefined' && globalThis instanceof WorkerGlobalScope) {
  const scope = globalThis as unknown as Port & { readonly name: WorkerName }
  if (scope.name === 'splitcompute-hashes') {
    scope.addEventListener('message', ({ data }: MessageEvent<MessagePort>) => serveHashes(data))
  } else {
    serve(scope)
  }
}
