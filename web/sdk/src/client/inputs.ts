import { SplitComputeError } from '../errors'
import type { Inputs, Pooled } from './cloud'
import type { Manifest } from './manifest'

/** An input that no side can embed. */
export class InvalidInput extends SplitComputeError {
  constructor(what: string) {
    super('invalid_argument', `The input cannot be embedded: ${what}.`)
  }
}

/** Whether a request failed for what was to be embedded: with other inputs it may well succeed. */
export function isInputsFault(error: unknown): boolean {
  const problem = error instanceof SplitComputeError ? error.problem : undefined
  return (
    error instanceof InvalidInput ||
    problem?.status === 413 ||
    (problem?.status === 400 && problem.field === 'input')
  )
}

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
export function checkInputs(input: Input): Inputs {
  // A list with holes becomes one of undefined, which is neither.
  const list: readonly unknown[] = Array.isArray(input) && isList(input) ? Array.from(input) : [input]
  if (list.length === 0) {
    throw new InvalidInput('the input is empty')
  }
  if (list.every((item) => typeof item === 'string')) {
    return list
  }
  if (!list.every((item) => Array.isArray(item))) {
    throw new InvalidInput('inputs are all texts or all lists of token ids')
  }
  return list as number[][]
}

/** Why one input cannot be embedded, where that can be told here: of a text only a tokenizer knows. */
export function faultOf(
  input: string | readonly unknown[],
  { vocabularySize, maxTokens }: Manifest,
): InvalidInput | undefined {
  if (typeof input === 'string') {
    return undefined
  }
  if (input.length === 0 || input.length > maxTokens) {
    return new InvalidInput(`it has ${input.length} tokens; from 1 to ${maxTokens} are possible`)
  }
  const wrong = input.findIndex(
    (id) => !(Number.isInteger(id) && Number(id) >= 0 && Number(id) < vocabularySize),
  )
  return wrong < 0
    ? undefined
    : new InvalidInput(
        `${String(input[wrong])} is no token id of this model; they are whole numbers below ${vocabularySize}`,
      )
}

/** Characters of Latin script that a token usually stands for; one of another script is about a token. */
const CHARACTERS_A_TOKEN = 4

/** How many tokens inputs have together, texts by their characters: exact for sequences alone. */
export function guessTokens(inputs: Inputs, { maxTokens }: Manifest): number {
  let tokens = 0
  for (const input of inputs) {
    if (typeof input === 'string') {
      const others = input.match(/\P{ASCII}/gu)?.length ?? 0
      tokens += Math.min(maxTokens, 1 + Math.ceil((input.length - others) / CHARACTERS_A_TOKEN) + others)
    } else {
      tokens += input.length
    }
  }
  return tokens
}
