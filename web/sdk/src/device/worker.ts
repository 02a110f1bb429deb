import type { Port } from './channel'
import { DeviceServer } from './device-server'

/** Serves a device to the page at the other end of a port. */
export function serve(port: Port): void {
  new DeviceServer(port)
}

declare const WorkerGlobalScope: (new () => object) | undefined

// The same module is imported by a page whose browser has WebGPU on the main thread alone.
if (typeof WorkerGlobalScope !== 'undefined' && globalThis instanceof WorkerGlobalScope) {
  serve(globalThis as unknown as Port)
}
