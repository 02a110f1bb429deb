import type { Dtype } from '../../../src/client/manifest'
import type { LayerShape, Work } from '../shapes'

/** Layers of random weights on the GPU. */
export interface LoadedModel {
  /** Prepares passes of one sequence of so many tokens, or what else the shape's work counts. */
  enter(tokens: number): Promise<Passes>
  close(): Promise<void>
}

/** Ready to run. */
export interface Passes {
  /** The device that the engine asked for. */
  readonly device: GPUDevice
  /** Layers that one call of `queue` runs, and one of `alone`. */
  readonly queuedLayers: number
  readonly aloneLayers: number
  /** Hands `calls` calls to the GPU one after the other and waits once, until the last has ended. */
  queue(calls: number): Promise<void>
  /** One call, until its result is there. */
  alone(): Promise<void>
  leave(): Promise<void>
}

export interface Engine {
  readonly name: string
  readonly dtypes: readonly Dtype[]
  readonly works: readonly Work[]
  /** Why this engine has no such rows, or undefined. */
  lacks(shape: LayerShape, dtype: Dtype, adapter: GPUAdapter): string | undefined
  load(shape: LayerShape, dtype: Dtype): Promise<LoadedModel>
}
