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

  /** Without normalisation, `[batch, hiddenSize]`; where the fixture leaves it out, pooled from `final` here. */
  pooled(kind: 'mean' | 'last' | 'cls', hiddenSize: number): Float64Array {
    const pooled = this.#tensors.get(`pooled.${kind}`)
    return pooled ?? Float64Array.from(pool(this.tensor('final'), this.lengths, kind, hiddenSize))
  }

  tensor(name: string): Float64Array {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) {
      throw new Error(`The fixture of ${this.model} has no "${name}": ${[...this.#tensors.keys()]}`)
    }
    return tensor
  }
}

function pool(
  final: Float64Array,
  lengths: Int32Array,
  kind: 'mean' | 'last' | 'cls',
  columns: number,
): number[] {
  let start = 0
  return Array.from(lengths).flatMap((length) => {
    const rows = Array.from({ length }, (_, r) =>
      final.subarray((start + r) * columns, (start + r + 1) * columns),
    )
    start += length
    return Array.from({ length: columns }, (_, c) => {
      const column = rows.map((row) => row[c] ?? Number.NaN)
      const mean = column.reduce((sum, value) => sum + value, 0) / length
      return kind === 'mean' ? mean : (column.at(kind === 'last' ? -1 : 0) ?? Number.NaN)
    })
  })
}
