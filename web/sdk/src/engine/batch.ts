import type { Pooling } from '../client/manifest'

/** Activations as a message carries them: rows end to end, `[tokens, hiddenSize]`. */
export interface Activations {
  readonly dtype: 'f32' | 'f16'
  readonly bytes: Uint8Array
}

/** Sequences packed end to end, without padding. */
export interface TailBatch {
  /** The first layer that runs here; 0 begins with the embeddings. */
  readonly cut: number
  readonly tokens: Int32Array
  /** Tokens of each sequence, at least 1. */
  readonly lengths: Int32Array
  /** The input of layer `cut`; absent at cut 0. */
  readonly hidden?: Activations
  readonly pooling: Pooling | 'none'
  readonly normalize: boolean
}

/** Whole sequences that run together. */
export interface Run {
  readonly firstToken: number
  readonly firstSequence: number
  readonly lengths: readonly number[]
  readonly tokens: number
}

/** Splits a batch into runs of at most `most` tokens, or of one sequence that is longer. */
export function splitIntoRuns(lengths: Iterable<number>, most: number): Run[] {
  const runs: Run[] = []
  let current: number[] = []
  let tokens = 0
  let firstToken = 0
  let firstSequence = 0
  const close = () => {
    if (current.length > 0) {
      runs.push({ firstToken, firstSequence, lengths: current, tokens })
    }
    firstToken += tokens
    firstSequence += current.length
    current = []
    tokens = 0
  }
  for (const length of lengths) {
    if (tokens + length > most) {
      close()
    }
    current.push(length)
    tokens += length
  }
  close()
  return runs
}
