import { importTokenizer } from 'virtual:tokenizer'
import { SplitComputeError } from '../errors'
import type { Tokenize } from '../tokenizer/tokenizer'
import { InvalidInput } from './inputs'
import type { Manifest } from './manifest'
import { withSignal } from './with-signal'

/** The model's tokenizer in this browser, fetched when it is first wanted: for answers that need no cloud. */
export class LazyTokenizer {
  #tokenize: Tokenize | undefined
  #coming: Promise<Tokenize> | undefined
  #failed = false

  /** @param fetchJson the bytes of `tokenizer.json`; undefined while no device can fetch them */
  constructor(
    private readonly manifest: Manifest,
    private readonly fetchJson: () => Promise<Uint8Array<ArrayBuffer> | undefined>,
  ) {}

  /** Whether texts can become tokens here now. */
  get here(): boolean {
    return this.#tokenize !== undefined
  }

  /** Fetches it ahead of need; resolves when it is here or cannot come for now, which may be never while a network is silent. */
  async prefetch(): Promise<void> {
    if (this.manifest.tokenizer !== undefined && !this.#failed) {
      await this.#get().catch(() => undefined)
    }
  }

  /** The tokens of each text, or undefined where the tokenizer is not here or a text is not valid: the cloud says why. */
  encodeNow(texts: readonly string[]): number[][] | undefined {
    const tokenize = this.#tokenize
    const sequences = tokenize && texts.map((text) => tokenize(text, this.manifest.truncateTokens))
    return sequences?.every((tokens) => this.#isValid(tokens)) ? sequences : undefined
  }

  /**
   * The tokens of each text.
   *
   * @throws SplitComputeError `invalid_argument` for a text without tokens, with too many or with one that the model does not know;
   *   whatever keeps the tokenizer away; the signal's reason once it aborts
   */
  async encode(texts: readonly string[], signal: AbortSignal): Promise<number[][]> {
    const tokenize = await withSignal(this.#get(), signal)
    return texts.map((text) => {
      const tokens = tokenize(text, this.manifest.truncateTokens)
      if (!this.#isValid(tokens)) {
        const { maxTokens, vocabularySize } = this.manifest
        throw new InvalidInput(
          `a text has ${tokens.length} tokens; from 1 to ${maxTokens} are possible, each below ${vocabularySize}`,
        )
      }
      return tokens
    })
  }

  #get(): Promise<Tokenize> {
    this.#coming ??= this.#load().catch((error: unknown) => {
      this.#coming = undefined
      throw error
    })
    return this.#coming
  }

  async #load(): Promise<Tokenize> {
    const [{ readTokenizer }, json] = await Promise.all([importTokenizer(), this.fetchJson()])
    if (json === undefined) {
      throw new SplitComputeError('device_lost', 'The device that fetches the tokenizer is gone.')
    }
    try {
      const tokenize = readTokenizer(json)
      const prompt = this.manifest.prompt ?? ''
      this.#tokenize = (text, most) => tokenize(prompt + text, most)
    } catch (cause) {
      // A kind that the library does not know will not become another one.
      this.#failed = true
      throw new SplitComputeError('unsupported_model', 'The tokenizer does not run in this browser.', {
        cause,
      })
    }
    return this.#tokenize
  }

  #isValid(tokens: readonly number[]): boolean {
    const { maxTokens, vocabularySize } = this.manifest
    return tokens.length > 0 && tokens.length <= maxTokens && tokens.every((id) => id < vocabularySize)
  }
}
