import type { Dtype } from '../../../src/client/manifest'
import type { LayerShape, Work } from '../shapes'

/** Layers of random weights on the GPU, alone or with all else that a model has. */
export interface LoadedModel {
  /** Prepares passes of so many texts of so many tokens each, or of what else the shape's work counts. */
  enter(tokens: number, texts: number): Promise<Passes>
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
  /** Layers alone, which take one text's activations. */
  load(shape: LayerShape, dtype: Dtype): Promise<LoadedModel>
  /**
   * The whole model, whose layers share the weights of four: its passes take token ids and give a vector a text. Absent where an engine
   * is measured by the layer alone.
   */
  loadModel?(shape: LayerShape, dtype: Dtype): Promise<LoadedModel>
}
