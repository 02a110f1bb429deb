import type { Canary, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { canaryInput, canaryRows, canaryTokens, checkAnswer, checkSame, truncateToHalves } from './canary'
import type { Selection } from './kernel-choice'
import type { KvCache } from './kv-cache'
import { logitStride } from './logits-memory'
import type { RunSpan } from './run-encoding'
import type { SessionHost } from './session'
import type { ForcedVariants } from './variants'
import { rowStride } from './workspace'

/** Tokens that are compared with the highest of the logits; a power of two, so that pairs fill whole bindings. */
const COMPARED_TOP = 16

const IN_PARTS = { kind: 'split', keys: 3 } as const

/** What canaries run on. */
export interface CanaryHost extends Pick<SessionHost, 'compute'> {
  readonly manifest: Manifest
  logits(rows: number, forced: ForcedVariants): ReturnType<SessionHost['logits']>
  /** A cache for one sequence of layers `[from, to)`. */
  cache(from: number, to: number): KvCache
}

/** Computes canaries in every way that requests compute. Each throws SplitComputeError `canary_failed` where a result is wrong. */
export class CanaryRuns {
  constructor(private readonly host: CanaryHost) {}

  /** A unit's rows, the last of which the manifest knows. */
  async whole(unit: string, canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const layer = layerOf(unit)
    const from = layer ?? manifest.layers
    const rows = canaryRows(manifest)
    const span = {
      lengths: [rows],
      input: unit === 'embeddings' ? canaryTokens(canary, manifest) : inputRows(canary, manifest, 0, rows),
      from,
      to: layer === undefined ? from : from + 1,
      final: unit === 'final',
      forced,
    }
    await this.#compare(unit, canary, [span], signal)
  }

  /**
   * The first row alone, which sees no other, against what it was among all: single rows have kernels of their own.
   *
   * @param right variants with which the canary passes
   */
  async single(
    unit: string,
    canary: Canary,
    right: Selection,
    forced: Selection,
    signal: AbortSignal,
  ): Promise<void> {
    const { manifest } = this.host
    const { hiddenSize } = manifest
    const from = layerOf(unit) ?? manifest.layers
    const span = (rows: number, selection: Selection): RunSpan => ({
      lengths: [rows],
      input: inputRows(canary, manifest, 0, rows),
      from,
      to: from + 1,
      final: false,
      forced: selection,
    })
    const stride = rowStride(hiddenSize)
    const spans = [span(canaryRows(manifest), right), span(1, forced)]
    const finish = (_: unknown, __: unknown, to: number) => [{ from: 0, rows: 1, to }]
    const values = await this.host.compute(spans, 2 * stride * 4, signal, finish, 0)
    checkSame(unit, values.subarray(0, hiddenSize), values.subarray(stride, stride + hiddenSize))
  }

  /** A layer as `whole`, and what requests have around it: halves that are unpacked, and rows that are averaged. */
  async asServed(unit: string, canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const { hiddenSize } = manifest
    const rows = canaryRows(manifest)
    const from = layerOf(unit) ?? manifest.layers
    const { halves, floats } = truncateToHalves(canaryInput(canary, manifest))
    const lengths = [rows]
    const unpacked: RunSpan = {
      lengths,
      input: { dtype: 'f16', bytes: halves },
      from,
      to: from,
      final: false,
      forced,
    }
    const input = inputRows(canary, manifest, 0, rows)
    const layer: RunSpan = { lengths, input, from, to: from + 1, final: false, pooled: true, forced }
    const stride = rowStride(hiddenSize)
    const values = await this.host.compute(
      [unpacked, layer],
      (1 + 2 * rows) * stride * 4,
      signal,
      (results, encoding, i) => {
        if (i === 0) {
          return [{ from: 0, rows, to: 1 + rows }]
        }
        encoding.pool('mean', false, results, 0)
        return [{ from: 0, rows, to: 1 }]
      },
      0,
    )
    const row = (index: number) => values.subarray(index * stride, index * stride + hiddenSize)
    checkAnswer(unit, canary, row(rows))
    const mean = Float32Array.from({ length: hiddenSize }, (_, column) => {
      let sum = 0
      for (let i = 1; i <= rows; i++) {
        sum += at(row(i), column)
      }
      return sum / rows
    })
    checkSame(unit, mean, row(0))
    const expected = new Float32Array(floats.buffer)
    for (let i = 0; i < rows; i++) {
      checkSame(unit, expected.subarray(i * hiddenSize, (i + 1) * hiddenSize), row(1 + rows + i))
    }
  }

  /** The last row behind all others as a single token, and the last two together: attention on a cache has a kernel for each. */
  async steps(k: number, canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const rows = canaryRows(manifest)
    const pasts = [rows - 1, rows - 2].filter((some) => some > 0)
    // A canary is short, and would be one part.
    const inParts: Selection[] = forced.decode.kind === 'split' ? [{ ...forced, decode: IN_PARTS }] : []
    const runs = [
      ...pasts.map((past) => ({ past, forced })),
      ...inParts.map((selection) => ({ past: rows - 1, forced: selection })),
    ]
    for (const { past, forced } of runs) {
      const cache = this.host.cache(k, k + 1)
      try {
        await cache.reserve(rows)
        const step = (from: number, end: number): RunSpan => ({
          lengths: [end - from],
          input: inputRows(canary, manifest, from, end),
          from: k,
          to: k + 1,
          final: false,
          cached: cache.sequences([0], [from]),
          forced,
        })
        await this.#compare(`layer.${k}`, canary, [step(0, past), step(past, rows)], signal)
      } finally {
        cache.destroy()
      }
    }
  }

  async #compare(
    unit: string,
    canary: Canary,
    spans: readonly RunSpan[],
    signal: AbortSignal,
  ): Promise<void> {
    const { hiddenSize } = this.host.manifest
    const last = spans.length - 1
    const from = (spans[last]?.lengths[0] ?? 0) - 1
    const size = rowStride(hiddenSize) * 4
    const finish = (_: unknown, __: unknown, i: number) => (i === last ? [{ from, rows: 1, to: 0 }] : [])
    const values = await this.host.compute(spans, size, signal, finish, 0)
    checkAnswer(unit, canary, values.subarray(0, hiddenSize))
  }

  /** The logits of the last row, and whether the device finds the highest among them. */
  async logits(canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const { layers, vocabularySize } = manifest
    const rows = canaryRows(manifest)
    const input = inputRows(canary, manifest, 0, rows)
    const span = { lengths: [rows], input, from: layers, to: layers, final: false, forced }
    const encoder = await this.host.logits(1, forced)
    const stride = logitStride(manifest)
    let k = COMPARED_TOP
    while (k > vocabularySize) {
      k /= 2
    }
    const values = await this.host.compute(
      [span],
      stride * 4 + k * 8,
      signal,
      (results, encoding) => {
        encoder.encode(encoding, [rows - 1], { kind: 'logits' }, results, 0)
        encoder.encode(encoding, [rows - 1], { kind: 'top', k }, results, stride / 2 / k)
        return []
      },
      2 * encoder.dispatches(1),
    )
    const logits = values.subarray(0, vocabularySize)
    checkAnswer('lm_head', canary, logits)
    const words = new Uint32Array(values.buffer, (values.byteOffset ?? 0) + stride * 4, 2 * k)
    const best = Array.from(logits.keys()).sort((a, b) => at(logits, b) - at(logits, a) || a - b)
    for (let j = 0; j < k; j++) {
      if (words[2 * j + 1] !== best[j]) {
        throw new SplitComputeError(
          'canary_failed',
          `This device finds token ${words[2 * j + 1]} where ${best[j]} is in place ${j} of the highest logits.`,
        )
      }
    }
  }
}

export function layerOf(unit: string): number | undefined {
  const layer = /^layer\.(\d+)$/.exec(unit)?.[1]
  return layer === undefined ? undefined : Number(layer)
}

function inputRows(canary: Canary, manifest: Manifest, from: number, to: number): RunSpan['input'] {
  const rowBytes = manifest.hiddenSize * 4
  const bytes = new Uint8Array(canaryInput(canary, manifest).buffer).subarray(from * rowBytes, to * rowBytes)
  return { dtype: 'f32', bytes }
}

function at(values: Float32Array, index: number): number {
  return values[index] ?? Number.NaN
}
