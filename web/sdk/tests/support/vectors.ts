import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const WEIGHTS = 'weights/src/test/resources/vectors'

/** Test vectors that the Java tests read too: what one side writes the other must read. */
export function vectors<T>(path: string): T {
  return JSON.parse(readFileSync(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), 'utf8')) as T
}

export function decode(base64: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

/** The float of eight hex digits. */
export function float(bits: string): number {
  return new Float32Array(Uint32Array.of(Number.parseInt(bits, 16)).buffer)[0] ?? Number.NaN
}

export interface QuantisedVector {
  readonly name: string
  readonly rows: number
  readonly columns: number
  /** Padded to whole blocks a row. */
  readonly quants: Uint8Array<ArrayBuffer>
  readonly scales: Uint16Array<ArrayBuffer>
  /** Row after row, with padding or without. */
  readonly decoded: readonly number[]
}

/** Blocks and the weights that they stand for, to the bit. */
export function quantisedVectors(dtype: 'q8' | 'q4'): QuantisedVector[] {
  const { exact } = vectors<{
    exact: {
      name: string
      rows: number
      columns: number
      quants: string
      scales: string
      decoded: string[]
    }[]
  }>(`${WEIGHTS}/${dtype}.json`)
  return exact.map(({ quants, scales, decoded, ...vector }) => ({
    ...vector,
    quants: decode(quants),
    scales: new Uint16Array(decode(scales).buffer),
    decoded: decoded.map(float),
  }))
}
