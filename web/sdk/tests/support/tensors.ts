import { readFileSync } from 'node:fs'
import { readSafetensorsHeader, type Tensor } from '../../src/shards/safetensors'
import { halfToNumber } from './half'

/** Reads one tensor of a safetensors file's data, widened. */
export function widen({ dtype, offset, bytes }: Tensor, data: Uint8Array): Float64Array {
  const raw = data.slice(offset, offset + bytes).buffer
  switch (dtype) {
    case 'F32':
      return Float64Array.from(new Float32Array(raw))
    case 'F16':
      return Float64Array.from(new Uint16Array(raw), halfToNumber)
    case 'I32':
      return Float64Array.from(new Int32Array(raw))
    default:
      throw new Error(`The tests read no ${dtype}.`)
  }
}

/** Every tensor of a fixture. */
export function readTensors(path: string): Map<string, Float64Array> {
  const bytes = new Uint8Array(readFileSync(path))
  const { tensors, dataOffset } = readSafetensorsHeader(bytes, bytes.byteLength, 'invalid_message', path)
  const data = bytes.subarray(dataOffset)
  return new Map(
    tensors
      .filter(({ dtype }) => dtype === 'F32' || dtype === 'I32')
      .map((tensor) => [tensor.name, widen(tensor, data)]),
  )
}

/** Several vectors end to end. */
export function joined(vectors: readonly ArrayLike<number>[]): Float64Array {
  return Float64Array.from(vectors.flatMap((vector) => Array.from(vector)))
}

/** max|a - b| / max|b| over a tensor: the measure of difference everywhere in this project. */
export function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    return Number.POSITIVE_INFINITY
  }
  let most = 0
  let largest = 0
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i] ?? Number.NaN
    const b = expected[i] ?? Number.NaN
    const d = Math.abs(a - b)
    most = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(most, d)
    largest = Math.max(largest, Math.abs(b))
  }
  return most / largest
}
