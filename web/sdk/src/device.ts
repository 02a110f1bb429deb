import type { Dtype, Manifest } from './client/manifest'
import type { TailBatch } from './engine/batch'
import type { Signed } from './shards/signed-urls'
import type { MemoryStore } from './shards/store/memory-store'

/** How a unit came to the device. */
export interface Loaded {
  /** Where its bytes came from; `disk` is what was kept: by an earlier visit, or in this page's memory for want of a disk. */
  readonly from: 'network' | 'disk'
  /** How long its bytes took to be verified and on the GPU, and how long its canary ran. */
  readonly milliseconds: { readonly bytes: number; readonly canary: number }
}

/** Where the tail runs. Everything crosses this interface as messages: it is served by a worker where there can be one. */
export interface Device {
  /**
   * Brings one unit to the GPU, from what is kept or by download, verifies it and runs its canary; runs find it from then on.
   *
   * @param onBytes told of bytes as they arrive; negative where some must be fetched again
   * @throws SplitComputeError `shard_refused`, `invalid_shard`, `canary_failed`, `unreachable`, `out_of_memory`,
   *   `limit_exceeded`, `download_limit`
   */
  load(unit: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<Loaded>

  /**
   * Runs a loaded unit's canary once more.
   *
   * @throws SplitComputeError `canary_failed`: the unit is off the device then
   */
  check(unit: string, signal: AbortSignal): Promise<void>

  /** The bytes of the model's `tokenizer.json`, kept like a unit; `undefined` for a model that has none. */
  tokenizer(signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined>

  /**
   * @returns for each sequence its vector `[hiddenSize]`, or without pooling its rows `[tokens, hiddenSize]`; empty for one of which
   *   the GPU computed values that are not finite
   * @throws SplitComputeError `device_lost`, `out_of_memory`, `limit_exceeded`, `canary_failed`, `wrong_result`
   */
  run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]>

  /** Resolves when the device is gone other than by `close`. */
  readonly lost: Promise<Loss>

  /** Frees the GPU and ends the worker. */
  close(): Promise<void>
}

/** Why a device is gone. */
export interface Loss {
  /** The GPU was lost, or the worker that served it. */
  readonly what: 'gpu' | 'worker'
  readonly reason: string
}

/** What crosses to the thread that serves the device. */
export interface DeviceSettings {
  readonly manifest: Manifest
  /** SHA-256 of the manifest. */
  readonly revision: string
  readonly dtype: Dtype
  /** Bytes of GPU memory for weights and workspace. */
  readonly memory: number
  /** Most bytes from the network. */
  readonly download: number
  /** Every unit in the order in which it will be loaded. */
  readonly units: readonly string[]
  /** Whole shards that the page keeps in its memory. */
  readonly remembered: readonly string[]
}

export interface DeviceOptions extends Omit<DeviceSettings, 'remembered'> {
  readonly sign: (sha256s: readonly string[], signal: AbortSignal) => Promise<readonly Signed[]>
  /** Told of what works, but less well than it could. */
  readonly onWarning: (warning: string) => void
  /** Keeps shards that the disk has no room for, from one device to the next. */
  readonly spare: MemoryStore
  /** Where the worker's script lies, for pages that forbid workers from blobs. */
  readonly workerUrl?: string
}

export type OpenDevice = (options: DeviceOptions, signal: AbortSignal) => Promise<Device>

/** GPU memory that the tail may take where the page does not say. */
export function defaultMemory(): number {
  const { deviceMemory, userAgent } = (globalThis.navigator ?? {}) as {
    deviceMemory?: number
    userAgent?: string
  }
  if (/Mobi|Android/.test(userAgent ?? '')) {
    return 512 * 1024 ** 2
  }
  return deviceMemory === undefined ? 2 * 1024 ** 3 : (deviceMemory / 4) * 1024 ** 3
}

/** Bytes that may be downloaded where the page does not say: none where the visitor saves data or the connection is slow. */
export function defaultDownload(): number {
  const { connection } = (globalThis.navigator ?? {}) as {
    connection?: { saveData?: boolean; effectiveType?: string }
  }
  if (connection?.saveData === true || /2g/.test(connection?.effectiveType ?? '')) {
    return 0
  }
  return connection?.effectiveType === '3g' ? 64 * 1024 ** 2 : Number.POSITIVE_INFINITY
}
