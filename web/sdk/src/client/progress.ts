/** What becomes of one unit on the device. */
export interface UnitProgress {
  /** `embeddings`, `layer.0`, ... or `final`. */
  readonly name: string
  readonly state: 'waiting' | 'loading' | 'loaded' | 'refused'
  /** Bytes that arrived and that the unit has. */
  readonly loaded: number
  readonly total: number
  /** Where the bytes of a loaded unit came from: `disk` is what an earlier visit kept. */
  readonly from?: 'network' | 'disk'
  /** How long a loaded unit took: its bytes until they were on the GPU, verified and kept, then its canary. */
  readonly milliseconds?: { readonly bytes: number; readonly canary: number }
}

/** How far the device has come. */
export interface Progress {
  /**
   * `opening` the GPU, `loading` shards, `ready` when all are there, `stopped` when no more come for now: the cut then stays
   * where it is and `reason` says why. A network that comes back makes `loading` of it again.
   */
  readonly phase: 'opening' | 'loading' | 'ready' | 'stopped'
  /** The first layer that the device can run; the number of layers when it runs none. */
  readonly cut: number
  /** Bytes of all units that are to be loaded. */
  readonly loaded: number
  readonly total: number
  /** In the order in which they load. */
  readonly units: readonly UnitProgress[]
  readonly reason?: string
  /** What works, but less well than it could: layers that could not be kept for the next visit. */
  readonly warning?: string
}
