import type { DeviceSettings, Loaded } from '../device'
import type { TailBatch } from '../engine/batch'
import type { Signed } from '../shards/signed-urls'
import type { ShardRecord } from '../shards/store/store'

/** What the page calls on the thread that has the GPU. */
export type DeviceCalls = {
  readonly open: { readonly argument: DeviceSettings; readonly result: undefined }
  readonly load: { readonly argument: string; readonly result: Loaded }
  readonly check: { readonly argument: string; readonly result: undefined }
  readonly tokenizer: {
    readonly argument: undefined
    readonly result: Uint8Array<ArrayBuffer> | undefined
  }
  readonly run: { readonly argument: TailBatch; readonly result: Float32Array[] }
  readonly ping: { readonly argument: undefined; readonly result: undefined }
  readonly close: { readonly argument: undefined; readonly result: undefined }
}

/** What that thread calls on the page. */
export type PageCalls = {
  readonly sign: { readonly argument: readonly string[]; readonly result: readonly Signed[] }
  /** The port of a new thread that hashes, which takes the place of a former one; undefined where there can be none. */
  readonly startHashes: { readonly argument: undefined; readonly result: MessagePort | undefined }
  readonly endHashes: { readonly argument: undefined; readonly result: undefined }
  readonly lost: { readonly argument: string; readonly result: undefined }
  readonly warn: { readonly argument: string; readonly result: undefined }
  // What the page's memory keeps for want of a disk.
  readonly recall: {
    readonly argument: { readonly sha256: string; readonly offset: number }
    readonly result: Uint8Array<ArrayBuffer> | undefined
  }
  readonly remember: {
    readonly argument: {
      readonly sha256: string
      readonly offset: number
      readonly bytes: Uint8Array<ArrayBuffer>
    }
    readonly result: boolean
  }
  readonly complete: {
    readonly argument: ShardRecord
    readonly result: boolean
  }
  readonly forget: { readonly argument: string; readonly result: undefined }
}
