/** What becomes of one unit on the device. */
export interface UnitProgress {
  /** `embeddings`, `layer.0`, ... or `final`. */
  readonly name: string
  readonly state: 'waiting' | 'loading' | 'loaded' | 'refused'
  /** Bytes that arrived and that the unit has. */
  readonly loaded: number
  readonly total: number
}

/** How far the device has come. */
export interface Progress {
  /**
   * `opening` the GPU, `loading` shards, `ready` when all are there, `stopped` when no more will come: the cut then stays
   * where it is and `reason` says why.
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
}
