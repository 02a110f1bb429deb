import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readTensors } from './tensors'

const folder = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', 'fixtures')

/** What Hugging Face transformers computed for a model; `fixtures/README.md` describes the tensors. */
export class Fixture {
  readonly #tensors: ReadonlyMap<string, Float64Array>

  constructor(readonly model: string) {
    const file = model === 'bookworm' ? 'hidden.safetensors' : 'expected.safetensors'
    this.#tensors = readTensors(join(folder, model, file))
  }

  get tokens(): Int32Array {
    return Int32Array.from(this.tensor('tokens'))
  }

  get lengths(): Int32Array {
    return Int32Array.from(this.tensor('lengths'))
  }

  /** The hidden states of the first `tokens` tokens. */
  rows(name: string, tokens: number): Float64Array {
    const tensor = this.tensor(name)
    return tensor.subarray(0, (tensor.length / this.tokens.length) * tokens)
  }

  tensor(name: string): Float64Array {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) {
      throw new Error(`The fixture of ${this.model} has no "${name}": ${[...this.#tensors.keys()]}`)
    }
    return tensor
  }
}
