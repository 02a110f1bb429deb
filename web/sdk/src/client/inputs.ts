import { SplitComputeError } from '../errors'
import type { Inputs, Pooled } from './cloud'
import type { Manifest } from './manifest'

/** What a caller may ask for: one input, or a list of them. */
export type Input = string | readonly number[] | readonly string[] | readonly (readonly number[])[]

/** Whether a list of answers is due. A list of numbers is one input. */
export function isList(input: Input): boolean {
  return Array.isArray(input) && typeof input[0] !== 'number'
}

const POOLINGS: readonly unknown[] = ['mean', 'last', 'cls', 'none']

/**
 * How an embedding is to be made; the model's own way where the caller does not say. Checked here, so that a call answers the
 * same at every cut.
 *
 * @throws SplitComputeError `invalid_argument`
 */
export function checkPooled({ pooling, normalize }: Partial<Pooled>, manifest: Manifest): Pooled {
  if (pooling !== undefined && !POOLINGS.includes(pooling)) {
    throw new SplitComputeError('invalid_argument', `"pooling" must be one of ${POOLINGS.join(', ')}.`)
  }
  if (normalize !== undefined && typeof normalize !== 'boolean') {
    throw new SplitComputeError('invalid_argument', '"normalize" must be true or false.')
  }
  return {
    pooling: pooling ?? manifest.pooling.kind,
    normalize: normalize ?? manifest.pooling.normalize,
  }
}

/**
 * The inputs as a list, all texts or all sequences of token ids.
 *
 * @throws SplitComputeError `invalid_argument`
 */
export function checkInputs(input: Input, manifest: Manifest): Inputs {
  const list: readonly unknown[] = Array.isArray(input) && isList(input) ? input : [input]
  if (list.length === 0 || (Array.isArray(input) && input.length === 0)) {
    return fail('the input is empty')
  }
  if (list.every((item) => typeof item === 'string')) {
    return list
  }
  if (!list.every((item) => Array.isArray(item))) {
    return fail('inputs are all texts or all lists of token ids')
  }
  for (const sequence of list as unknown[][]) {
    checkTokens(sequence, manifest)
  }
  return list as number[][]
}

function checkTokens(sequence: unknown[], { vocabularySize, maxTokens }: Manifest): void {
  if (sequence.length === 0 || sequence.length > maxTokens) {
    fail(`an input has ${sequence.length} tokens; from 1 to ${maxTokens} are possible`)
  }
  for (const id of sequence) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabularySize) {
      fail(`${String(id)} is no token id of this model; they are whole numbers below ${vocabularySize}`)
    }
  }
}

function fail(what: string): never {
  throw new SplitComputeError('invalid_argument', `The input cannot be embedded: ${what}.`)
}
