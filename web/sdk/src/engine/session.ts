import type { Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { type Activations, check, checkInput, finiteRows, splitIntoRuns } from './batch'
import type { KvCache } from './kv-cache'
import type { LogitsEncoding, Wanted } from './logits-encoding'
import { logitStride, MOST_TOP } from './logits-memory'
import type { RunEncoding, RunSpan } from './run-encoding'
import type { CopiedRows } from './run-queue'
import { rowStride } from './workspace'

/** New tokens of a session's sequences. */
export interface TailStep {
  /** Of one sequence after the other, end to end. */
  readonly tokens: Int32Array
  /** For each sequence of the session, how many of them are its own; one without any waits. */
  readonly lengths: Int32Array
  /** The input of layer `cut`, a row for each of `tokens`; absent at cut 0. */
  readonly hidden?: Activations
  /** The rows of the step that are answered, in rising order: by default the last one of each sequence that has any. */
  readonly rows?: Int32Array
}

/** The most probable next tokens behind a row, the best first; of equal ones the lowest id. */
export interface TopTokens {
  readonly ids: Int32Array
  readonly logits: Float32Array
}

/** What a session has of its engine. */
export interface SessionHost {
  readonly manifest: Manifest
  /** Of one run, unless a single sequence is longer. */
  readonly mostTokens: number
  /** Runs spans in turn and gives the results, of `size` bytes. */
  compute(
    spans: readonly RunSpan[],
    size: number,
    signal: AbortSignal,
    finish: (results: GPUBuffer, encoding: RunEncoding, i: number) => readonly CopiedRows[],
    moreDispatches: number,
  ): Promise<Float32Array>
  /** The output matrix, for rounds of up to so many rows. */
  logits(rows: number): Promise<LogitsEncoding>
  closed(session: TailSession): void
}

interface PlannedStep {
  readonly spans: readonly RunSpan[]
  /** Of each span, the rows that are answered. */
  readonly chosen: readonly (readonly number[])[]
  readonly answers: number
}

/** Sequences of the same tail that grow step by step: what their layers computed before stays on the device. */
export class TailSession {
  #lengths: readonly number[]
  #closed = false
  /** Steps run one after the other: each goes on from where the one before ended. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly host: SessionHost,
    private readonly cache: KvCache,
    readonly cut: number,
    sequences: number,
  ) {
    this.#lengths = Array.from({ length: sequences }, () => 0)
  }

  /** Tokens of each sequence that the device has. */
  get lengths(): readonly number[] {
    return this.#lengths
  }

  /** Bytes of keys and values on the GPU. */
  get bytes(): number {
    return this.cache.bytes
  }

  /**
   * Runs the step's tokens. A step that fails leaves the session as it was.
   *
   * @returns for each answered row the output of the last layer, behind the final LayerNorm, `[hiddenSize]`; empty where it is not
   *   finite
   * @throws SplitComputeError `invalid_argument` for a malformed step or one past the context, `out_of_memory`, `limit_exceeded`,
   *   `device_lost`, `wrong_result`, `closed`; the signal's reason once it aborts
   */
  hidden(step: TailStep, signal: AbortSignal): Promise<Float32Array[]> {
    return this.#step(step, async (planned) => {
      const { hiddenSize } = this.host.manifest
      const stride = rowStride(hiddenSize)
      const values = await this.host.compute(
        planned.spans,
        planned.answers * stride * 4,
        signal,
        (_, __, i) => copies(planned, i),
        0,
      )
      return rowsOf(values, planned.answers, stride, hiddenSize)
    })
  }

  /**
   * As `hidden`, for models with an `lm_head`.
   *
   * @returns for each answered row the logits of the next token, `[vocabularySize]`; empty where they are not finite
   */
  logits(step: TailStep, signal: AbortSignal): Promise<Float32Array[]> {
    return this.#step(step, async (planned) => {
      const stride = logitStride(this.host.manifest)
      const values = await this.#logits(planned, { kind: 'logits' }, planned.answers * stride * 4, signal)
      return rowsOf(values, planned.answers, stride, this.host.manifest.vocabularySize)
    })
  }

  /**
   * As `logits`, chosen on the device.
   *
   * @param k at most 64
   * @returns for each answered row the `k` tokens with the highest logits; none where they are not finite
   */
  top(step: TailStep, k: number, signal: AbortSignal): Promise<TopTokens[]> {
    const most = Math.min(MOST_TOP, this.host.manifest.vocabularySize)
    return this.#step(step, async (planned) => {
      check(Number.isInteger(k) && k >= 1 && k <= most, `"k" must be from 1 to ${most}, not ${k}.`)
      const values = await this.#logits(planned, { kind: 'top', k }, planned.answers * k * 8, signal)
      return pairsOf(values, planned.answers, k)
    })
  }

  /** Frees the keys and values. */
  close(): void {
    if (!this.#closed) {
      this.#closed = true
      this.cache.destroy()
      this.host.closed(this)
    }
  }

  async #logits(
    { spans, chosen, answers }: PlannedStep,
    wanted: Wanted,
    size: number,
    signal: AbortSignal,
  ): Promise<Float32Array> {
    const encoder = await this.host.logits(Math.max(...chosen.map(({ length }) => length)))
    const before = firsts(chosen)
    return this.host.compute(
      spans,
      size,
      signal,
      (results, encoding, i) => {
        encoder.encode(encoding, chosen[i] ?? [], wanted, results, before[i] ?? 0)
        return []
      },
      encoder.dispatches(answers),
    )
  }

  async #step<T>(step: TailStep, work: (planned: PlannedStep) => Promise<T>): Promise<T> {
    const turn = this.#turn.then(async () => {
      this.#open()
      this.#check(step)
      const next = this.#lengths.map((past, i) => past + (step.lengths[i] ?? 0))
      await this.cache.reserve(Math.max(...next))
      this.#open()
      const answer = await work(this.#plan(step))
      this.#lengths = next
      return answer
    })
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  #open(): void {
    if (this.#closed) {
      throw new SplitComputeError('closed', 'The session is closed.')
    }
  }

  #check({ tokens, lengths, hidden, rows }: TailStep): void {
    const { maxTokens } = this.host.manifest
    const sequences = this.#lengths.length
    check(lengths.length === sequences, `"lengths" must be ${sequences}, not ${lengths.length}.`)
    check(
      lengths.every((length) => length >= 0),
      '"lengths" must not be negative.',
    )
    checkInput(
      { cut: this.cut, tokens, lengths, ...(hidden === undefined ? {} : { hidden }) },
      this.host.manifest,
    )
    for (const [i, past] of this.#lengths.entries()) {
      const length = past + (lengths[i] ?? 0)
      check(
        length <= maxTokens,
        `Sequence ${i} would have ${length} tokens; the context of this model is ${maxTokens}.`,
      )
    }
    if (rows !== undefined) {
      const count = tokens.length
      const rising = rows.every((row, i) => row > (rows[i - 1] ?? -1) && row < count)
      check(rows.length > 0 && rising, `"rows" must rise, within the ${count} rows of the step.`)
    }
  }

  #plan({ tokens, lengths, hidden, rows }: TailStep): PlannedStep {
    const { hiddenSize, layers } = this.host.manifest
    const active = Array.from(lengths.keys()).filter((i) => lengths[i] !== 0)
    const rowBytes = hiddenSize * (hidden?.dtype === 'f16' ? 2 : 4)
    const answered = new Set(rows ?? [])
    const spans: RunSpan[] = []
    const chosen: number[][] = []
    for (const run of splitIntoRuns(
      active.map((i) => lengths[i] ?? 0),
      this.host.mostTokens,
    )) {
      const { firstToken, tokens: count, firstSequence, lengths: own } = run
      const indices = active.slice(firstSequence, firstSequence + own.length)
      const end = firstToken + count
      spans.push({
        lengths: own,
        input:
          hidden === undefined
            ? tokens.subarray(firstToken, end)
            : { dtype: hidden.dtype, bytes: hidden.bytes.subarray(firstToken * rowBytes, end * rowBytes) },
        from: this.cut,
        to: layers,
        final: true,
        cached: this.cache.sequences(indices, this.#lengths),
      })
      chosen.push(
        rows === undefined
          ? lastRows(own)
          : Array.from({ length: count }, (_, row) => row).filter((row) => answered.has(firstToken + row)),
      )
    }
    return { spans, chosen, answers: chosen.reduce((sum, { length }) => sum + length, 0) }
  }
}

function lastRows(lengths: readonly number[]): number[] {
  let end = 0
  return lengths.map((length) => {
    end += length
    return end - 1
  })
}

/** Of each span, how many rows are answered before its own. */
function firsts(chosen: readonly (readonly number[])[]): number[] {
  let count = 0
  return chosen.map(({ length }) => {
    count += length
    return count - length
  })
}

/** The answered rows of a span, neighbours together. */
function copies({ chosen }: PlannedStep, i: number): CopiedRows[] {
  const copied: { from: number; rows: number; to: number }[] = []
  let to = firsts(chosen)[i] ?? 0
  for (const row of chosen[i] ?? []) {
    const last = copied.at(-1)
    if (last !== undefined && last.from + last.rows === row) {
      last.rows++
    } else {
      copied.push({ from: row, rows: 1, to })
    }
    to++
  }
  return copied
}

function rowsOf(values: Float32Array, rows: number, stride: number, columns: number): Float32Array[] {
  return finiteRows(Array.from({ length: rows }, (_, r) => values.slice(r * stride, r * stride + columns)))
}

function pairsOf(values: Float32Array, rows: number, k: number): TopTokens[] {
  const words = new Int32Array(values.buffer, values.byteOffset)
  const logits = finiteRows(
    Array.from({ length: rows }, (_, r) =>
      Float32Array.from({ length: k }, (_, j) => values[2 * (r * k + j)] ?? Number.NaN),
    ),
  )
  return logits.map((finite, r) => ({
    ids: Int32Array.from(finite, (_, j) => words[2 * (r * k + j) + 1] ?? -1),
    logits: finite,
  }))
}
