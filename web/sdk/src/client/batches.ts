import { PartialFailure } from '../errors'
import type { Inputs, Limits } from './cloud'
import { faultOf, guessTokens, isInputsFault } from './inputs'
import type { Manifest } from './manifest'
import type { Pace } from './pace'

/** Requests of one list that are under way at a time. */
const IN_FLIGHT = 4
/** Tokens of a request, where the model allows more: as many as the device runs at once. */
const MOST_TOKENS = 2_048
/** Tokens of a request, however little memory the device has or however slow it is, and while its speed is unknown. */
const FEWEST_TOKENS = 256
/** How long a request may take on the device: long ones are called slow, and cannot be called back. */
const DEVICE_MS = 1_000
/** Inputs of a request, where the model does not say. */
const MOST_INPUTS = 2_048
/** Of the device's memory, what the activations of the requests under way may take. */
const MEMORY_SHARE = 1 / 8
/** What an answer may have in its body, and what a number takes in JSON. */
const ANSWER_BYTES = 4_500_000
const JSON_BYTES_A_NUMBER = 16

/** How far a list has come. */
export interface ListProgress {
  /** Inputs that have an answer, or that are known to get none. */
  readonly done: number
  readonly total: number
}

/**
 * What one request of a list may hold.
 *
 * @param limits the model's, where they are known
 */
export function boundsOf(limits: Limits | undefined, { hiddenSize }: Manifest): Limits {
  const answered = Math.floor(ANSWER_BYTES / (hiddenSize * JSON_BYTES_A_NUMBER))
  return {
    inputs: Math.min(limits?.inputs ?? MOST_INPUTS, answered),
    tokens: Math.min(limits?.tokens ?? MOST_TOKENS, MOST_TOKENS),
  }
}

/** The device that has a part in a request. */
export interface Part {
  /** Layers that run on it; none where the cloud answers alone. */
  readonly layers: number
  /** Its bytes. */
  readonly memory: number
  readonly pace: Pick<Pace, 'tokensIn'>
}

/** Fewer tokens where the device has little memory, and where it takes long for them or nobody knows. */
export function boundedBy({ layers, memory, pace }: Part, bounds: Limits, { hiddenSize }: Manifest): Limits {
  if (layers === 0) {
    return bounds
  }
  const room = Math.floor((memory * MEMORY_SHARE) / (IN_FLIGHT * hiddenSize * 4))
  const quick = pace.tokensIn(DEVICE_MS, layers) ?? 0
  return { ...bounds, tokens: Math.min(bounds.tokens, Math.max(FEWEST_TOKENS, Math.min(room, quick))) }
}

/** Whether a list is one request. */
export function isWithin(bounds: Limits, inputs: Inputs, manifest: Manifest): boolean {
  return inputs.length <= bounds.inputs && guessTokens(inputs, manifest) <= bounds.tokens
}

/** A list on its way to one answer for each input, by requests of some inputs each. */
export class Batches<Answer> {
  readonly #answers = new Map<number, Answer>()
  readonly #failures = new Map<number, unknown>()
  /** Indexes of inputs that are still to be asked for; what one list has does not go with what another has. */
  readonly #waiting: number[][] = []
  #told = 0
  /** What ended the list before all was asked. */
  #end: { readonly error: unknown } | undefined

  /**
   * @param request embeds some of the inputs, in their order
   * @param onProgress told after each request
   */
  constructor(
    private readonly inputs: Inputs,
    private readonly manifest: Manifest,
    private readonly request: (inputs: Inputs) => Promise<readonly Answer[]>,
    private readonly onProgress: (progress: ListProgress) => void = () => undefined,
  ) {}

  /**
   * A request that is refused for its inputs is parted in two, so that the answers of the others are not lost; one that fails for
   * another reason ends the list.
   *
   * @param bounds what a request may hold, asked for each
   * @returns the answers in the order of the inputs
   * @throws PartialFailure where some inputs have no answer; what no input was answered for is thrown itself
   */
  async answers(bounds: () => Limits): Promise<Answer[]> {
    this.#sift()
    await Promise.all(Array.from({ length: IN_FLIGHT }, () => this.#askInTurn(bounds)))
    for (const index of this.inputs.keys()) {
      if (!this.#answers.has(index) && !this.#failures.has(index)) {
        this.#failures.set(index, this.#end?.error)
      }
    }
    const [failure, ...others] = new Set(this.#failures.values())
    if (this.#failures.size === 0) {
      return Array.from(this.inputs.keys(), (index) => this.#answers.get(index) as Answer)
    }
    throw this.#answers.size === 0 && others.length === 0
      ? failure
      : new PartialFailure(this.#answers, this.#failures)
  }

  #sift(): void {
    const valid: number[] = []
    for (const [index, input] of this.inputs.entries()) {
      const fault = faultOf(input, this.manifest)
      if (fault === undefined) {
        valid.push(index)
      } else {
        this.#failures.set(index, fault)
      }
    }
    if (valid.length > 0) {
      this.#waiting.push(valid)
    }
  }

  async #askInTurn(bounds: () => Limits): Promise<void> {
    for (let batch = this.#next(bounds); batch !== undefined; batch = this.#next(bounds)) {
      await this.#ask(batch)
      const done = this.#answers.size + this.#failures.size
      if (done > this.#told) {
        this.#told = done
        this.#tell({ done, total: this.inputs.length })
      }
    }
  }

  #tell(progress: ListProgress): void {
    try {
      this.onProgress(progress)
    } catch (error) {
      this.#end = { error }
      throw error
    }
  }

  /** As many of the inputs that wait as a request may hold. */
  #next(bounds: () => Limits): number[] | undefined {
    const list = this.#end === undefined ? this.#waiting.shift() : undefined
    if (list === undefined) {
      return undefined
    }
    const most = bounds()
    let [taken, tokens] = [0, 0]
    for (const index of list) {
      tokens += guessTokens([this.inputs[index]] as Inputs, this.manifest)
      if (taken > 0 && (taken === most.inputs || tokens > most.tokens)) {
        break
      }
      taken++
    }
    if (taken < list.length) {
      this.#waiting.unshift(list.slice(taken))
    }
    return list.slice(0, taken)
  }

  async #ask(batch: readonly number[]): Promise<void> {
    const inputs = batch.map((index) => this.inputs[index]) as unknown as Inputs
    try {
      for (const [i, answer] of (await this.request(inputs)).entries()) {
        this.#answers.set(batch[i] as number, answer)
      }
    } catch (error) {
      if (!isInputsFault(error)) {
        this.#end ??= { error }
      } else if (batch.length === 1) {
        this.#failures.set(batch[0] as number, error)
      } else {
        const half = batch.length >> 1
        this.#waiting.unshift(batch.slice(0, half), batch.slice(half))
      }
    }
  }
}
