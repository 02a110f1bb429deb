import type { Manifest, Pooling } from '../client/manifest'
import { notFinite, SplitComputeError } from '../errors'

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

/** @throws SplitComputeError `invalid_argument` with the sentence `otherwise` */
export function check(holds: boolean, otherwise: string): void {
  if (!holds) {
    throw new SplitComputeError('invalid_argument', otherwise)
  }
}

/**
 * Checks that an input's parts belong together and to the model: for a token that it does not know a kernel would leave what an earlier
 * run has left.
 *
 * @throws SplitComputeError `invalid_argument`
 */
export function checkInput(
  { cut, tokens, lengths, hidden }: Pick<TailBatch, 'cut' | 'tokens' | 'lengths' | 'hidden'>,
  { hiddenSize, vocabularySize }: Manifest,
): void {
  const count = lengths.reduce((sum, length) => sum + length, 0)
  check(
    count > 0 && count === tokens.length,
    `"tokens" must be ${count} and at least 1, not ${tokens.length}.`,
  )
  check(
    tokens.every((token) => token >= 0 && token < vocabularySize),
    `"tokens" must be from 0 to ${vocabularySize - 1}.`,
  )
  check((hidden === undefined) === (cut === 0), '"hidden" belongs to every cut but 0.')
  if (hidden !== undefined) {
    const bytes = count * hiddenSize * (hidden.dtype === 'f16' ? 2 : 4)
    check(hidden.bytes.byteLength === bytes, `"hidden" must have ${bytes} bytes.`)
  }
}

/**
 * Keeps what is not finite from spoiling the rest: a sequence may come to it by what it was given, on a device that computes right.
 *
 * @returns the rows, an empty one in the place of each that has a value that is not finite
 * @throws SplitComputeError `wrong_result` where every row has
 */
export function finiteRows(rows: readonly Float32Array[]): Float32Array[] {
  const finite = rows.map((row) => (row.every(Number.isFinite) ? row : new Float32Array()))
  if (finite.every(({ length }) => length === 0)) {
    throw notFinite()
  }
  return finite
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
