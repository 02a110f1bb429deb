import type { Canary, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'

const MOST_ROWS = 8
const ELEMENTS = 16
const TOLERANCE = 1e-3

/** The hash PCG-RXS-M-XS, as `weights/FORMAT.md` gives it. */
export function pcg32(n: number): number {
  const state = (Math.imul(n, 747796405) + 2891336453) >>> 0
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0
  return ((word >>> 22) ^ word) >>> 0
}

/** Rows of a canary's input. */
export function canaryRows({ maxTokens }: Manifest): number {
  return Math.min(MOST_ROWS, maxTokens)
}

/** The input of the canary of `embeddings`. */
export function canaryTokens({ seed }: Canary, manifest: Manifest): Int32Array {
  return Int32Array.from(
    { length: canaryRows(manifest) },
    (_, j) => pcg32(seed + j) % manifest.vocabularySize,
  )
}

/** The input of every other canary, `[rows, hiddenSize]`. */
export function canaryInput({ seed, scale }: Canary, manifest: Manifest): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: canaryRows(manifest) * manifest.hiddenSize },
    (_, i) => ((pcg32(seed + i) >>> 8) * 2 ** -23 - 1) * scale,
  )
}

/** Rows as the cloud sends them: halves, truncated; and the same as floats. */
export function truncateToHalves(rows: Float32Array<ArrayBuffer>): {
  halves: Uint8Array<ArrayBuffer>
  floats: Uint8Array<ArrayBuffer>
} {
  const bits = new Uint32Array(rows.buffer, rows.byteOffset, rows.length)
  const halves = new Uint16Array(rows.length)
  const floats = new Uint32Array(rows.length)
  for (const [i, word] of bits.entries()) {
    const exponent = ((word >>> 23) & 0xff) - 112
    // What a half has no normal number for is zero here.
    if (exponent > 0 && exponent < 31) {
      halves[i] = ((word >>> 16) & 0x8000) | (exponent << 10) | ((word >>> 13) & 0x3ff)
      floats[i] = word & ~0x1fff
    }
  }
  return { halves: new Uint8Array(halves.buffer), floats: new Uint8Array(floats.buffer) }
}

/**
 * Compares the last row of a unit's output with what the manifest knows.
 *
 * @throws SplitComputeError `canary_failed`
 */
export function checkAnswer(unit: string, canary: Canary, answer: Float32Array): void {
  const size = answer.length
  const mean = answer.reduce((sum, value) => sum + value, 0) / size
  const norm = Math.sqrt(answer.reduce((sum, value) => sum + value * value, 0))
  const tolerance = (TOLERANCE * canary.norm) / Math.sqrt(size)
  const compare = (what: string, actual: number, expected: number, allowed: number) => {
    // Said this way round, a NaN fails.
    if (!(Math.abs(actual - expected) <= allowed)) {
      throw new SplitComputeError(
        'canary_failed',
        `This device computes ${unit} wrong: ${what} of its canary is ${actual} instead of ${expected}.`,
      )
    }
  }
  compare('the mean', mean, canary.mean, tolerance)
  compare('the norm', norm, canary.norm, TOLERANCE * canary.norm)
  for (const [j, expected] of canary.elements.entries()) {
    const at = Math.floor((j * size) / ELEMENTS)
    compare(`element ${at}`, answer[at] ?? Number.NaN, expected, tolerance)
  }
}

/**
 * Compares a row that was computed in two ways, as closely as a canary is.
 *
 * @throws SplitComputeError `canary_failed`
 */
export function checkSame(unit: string, one: Float32Array, other: Float32Array): void {
  const norm = Math.sqrt(one.reduce((sum, value) => sum + value * value, 0))
  const tolerance = (TOLERANCE * norm) / Math.sqrt(one.length)
  // Said this way round, a NaN fails.
  if (!one.every((value, i) => Math.abs(value - (other[i] ?? Number.NaN)) <= tolerance)) {
    throw new SplitComputeError('canary_failed', `This device computes ${unit} in two ways that differ.`)
  }
}
