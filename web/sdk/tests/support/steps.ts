import type { TailSession, TailStep } from '../../src/engine/session'
import { activations } from './engine'

/** Sequences end to end, and at a cut beyond 0 their activations `[tokens, hiddenSize]`. */
export interface Sequences {
  readonly tokens: Int32Array
  readonly lengths: Int32Array
  readonly hidden?: Float64Array
}

/** A step and the rows of the sequences that it has. */
interface Slice {
  readonly step: TailStep
  readonly rows: readonly number[]
}

/** The sequences side by side: `prefill` tokens of each at first, then one at a time until each has ended. */
function slices({ tokens, lengths, hidden }: Sequences, prefill: number): Slice[] {
  const starts = Array.from(lengths, (_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0))
  const size = (hidden?.length ?? 0) / tokens.length
  const found: Slice[] = []
  for (let past = 0; past < Math.max(...lengths); past = past === 0 ? prefill : past + 1) {
    const most = past === 0 ? prefill : 1
    const counts = Array.from(lengths, (length) => Math.max(0, Math.min(most, length - past)))
    const rows = counts.flatMap((count, i) =>
      Array.from({ length: count }, (_, j) => (starts[i] ?? 0) + past + j),
    )
    const taken = rows.flatMap((row) => Array.from(hidden?.subarray(row * size, (row + 1) * size) ?? []))
    const step = {
      tokens: Int32Array.from(rows, (row) => tokens[row] ?? -1),
      lengths: Int32Array.from(counts),
      rows: Int32Array.from(rows.keys()),
      ...(hidden === undefined ? {} : { hidden: activations(Float64Array.from(taken), 'f32') }),
    }
    found.push({ step, rows })
  }
  return found
}

/** What a session gives for every row of the sequences, in their order. */
export async function walk(
  session: TailSession,
  sequences: Sequences,
  prefill: number,
): Promise<Float32Array[]> {
  const found: Float32Array[] = []
  for (const { step, rows } of slices(sequences, prefill)) {
    const answers = await session.hidden(step, new AbortController().signal)
    for (const [i, row] of rows.entries()) {
      found[row] = answers[i] ?? new Float32Array()
    }
  }
  return found
}
