import type { Input } from './client/inputs'
import { isList } from './client/inputs'
import type { Manifest } from './client/manifest'
import { modelName } from './client/models'
import { PartialFailure, SplitComputeError } from './errors'
import type { Answer, EmbedOptions } from './split-compute'

/** What OpenAI's `embeddings.create` takes. */
export interface EmbeddingParameters {
  /** A text or a sequence of token ids, or a list of them. */
  input: Input
  /** If given, the name of the model that this client is connected to. */
  model?: string
  /** `float` by default: a list of numbers. `base64` has the bytes of 32-bit floats, little endian. */
  encoding_format?: 'float' | 'base64'
  /** An embedding is cut to its first so many elements, and what is left is normalized, whatever the model does else. */
  dimensions?: number
  /** Accepted for OpenAI's sake, and not used. */
  user?: string
}

export interface EmbeddingObject<Vector = number[]> {
  readonly object: 'embedding'
  /** Of the input in the list. */
  readonly index: number
  readonly embedding: Vector
}

/** What OpenAI's `embeddings.create` answers. */
export interface EmbeddingList<Vector = number[]> {
  readonly object: 'list'
  readonly data: EmbeddingObject<Vector>[]
  readonly model: string
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number }
}

/** What OpenAI's interface has no word for. */
export type EmbeddingOptions = Omit<EmbedOptions, 'pooling' | 'normalize'>

/** OpenAI's interface to embeddings: what it takes and what it answers, run split like `embed`. */
export class Embeddings {
  constructor(
    private readonly manifest: Manifest,
    private readonly embed: (inputs: readonly string[], options: EmbedOptions) => Promise<Answer[]>,
  ) {}

  /**
   * @throws PartialFailure where some inputs of a list have no answer; `answers` are the `EmbeddingObject`s of the others
   * @throws SplitComputeError what `embed` throws; `invalid_argument` also for another model than this client's
   */
  create(
    parameters: EmbeddingParameters & { encoding_format: 'base64' },
    options?: EmbeddingOptions,
  ): Promise<EmbeddingList<string>>
  create(
    parameters: EmbeddingParameters & { encoding_format?: 'float' },
    options?: EmbeddingOptions,
  ): Promise<EmbeddingList>
  async create(
    parameters: EmbeddingParameters,
    options: EmbeddingOptions = {},
  ): Promise<EmbeddingList<number[] | string>> {
    // Written out, as other clients do, `null` stands for what was left away.
    const { input, dimensions, encoding_format = 'float' } = withoutNulls(parameters)
    this.#check(withoutNulls(parameters), options)
    const list = (isList(input) ? input : [input]) as readonly string[]
    const asAsked = ({ embedding }: Answer, index: number): EmbeddingObject<number[] | string> => {
      const vector = shortened(embedding, dimensions)
      return {
        object: 'embedding',
        index,
        embedding: encoding_format === 'base64' ? toBase64(vector) : Array.from(vector),
      }
    }
    let answers: Answer[]
    try {
      answers = await this.embed(list, {
        ...options,
        ...(dimensions === undefined ? {} : { normalize: true }),
      })
    } catch (error) {
      if (!(error instanceof PartialFailure)) {
        throw error
      }
      const some = error.answers as ReadonlyMap<number, Answer>
      throw new PartialFailure(
        new Map([...some].map(([index, answer]) => [index, asAsked(answer, index)])),
        error.failures,
      )
    }
    const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0)
    return {
      object: 'list',
      data: answers.map(asAsked),
      model: this.manifest.model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    }
  }

  #check({ model, dimensions, encoding_format }: EmbeddingParameters, options: EmbeddingOptions): void {
    const { manifest } = this
    const foreign = ['pooling', 'normalize'].find((option) => option in options)
    if (foreign !== undefined) {
      throw invalid(`"${foreign}" is an option of embed(); here the model's own way counts.`)
    }
    if (model !== undefined && modelName(model) !== manifest.model) {
      throw invalid(`"model" is ${model}, but this client is connected to ${manifest.model}.`)
    }
    if (
      dimensions !== undefined &&
      !(Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= manifest.hiddenSize)
    ) {
      throw invalid(`"dimensions" must be a whole number from 1 to ${manifest.hiddenSize}.`)
    }
    if (encoding_format !== undefined && !['float', 'base64'].includes(encoding_format)) {
      throw invalid('"encoding_format" must be float or base64.')
    }
  }
}

/** The first elements of a normalized vector, normalized again. */
function shortened(embedding: Float32Array, dimensions = embedding.length): Float32Array {
  if (dimensions === embedding.length) {
    return embedding
  }
  const vector = embedding.slice(0, dimensions)
  const norm = Math.hypot(...vector)
  return norm > 0 ? vector.map((value) => value / norm) : vector
}

/** The bytes of the floats, little endian. */
function toBase64(vector: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(vector.length * 4))
  for (const [i, value] of vector.entries()) {
    bytes.setFloat32(i * 4, value, true)
  }
  return btoa(Array.from(new Uint8Array(bytes.buffer), (byte) => String.fromCharCode(byte)).join(''))
}

function withoutNulls(parameters: EmbeddingParameters): EmbeddingParameters {
  const given = Object.entries(parameters).filter(([, value]) => value !== null)
  return Object.fromEntries(given) as unknown as EmbeddingParameters
}

function invalid(message: string): SplitComputeError {
  return new SplitComputeError('invalid_argument', message)
}
