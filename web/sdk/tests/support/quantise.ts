import { halfToNumber, numberToHalf } from './half'

const BLOCK = 32

/**
 * Rows in blocks of 32, as `weights/FORMAT.md` lays them out, each with a scale by its largest value. In q4 that is -8, and a scale has
 * either sign: the sharder writes such blocks too.
 */
export function quantise(values: Float64Array, dtype: 'q8' | 'q4') {
  const [least, most] = dtype === 'q8' ? [-127, 127] : [-8, 7]
  const scales = new Uint16Array(values.length / BLOCK)
  const quants = dtype === 'q8' ? new Int8Array(values.length) : new Uint8Array(values.length / 2)
  const decoded = new Float64Array(values.length)
  for (let block = 0; block < scales.length; block++) {
    const begin = block * BLOCK
    const largest = values
      .subarray(begin, begin + BLOCK)
      .reduce((max, value) => (Math.abs(value) > Math.abs(max) ? value : max), 0)
    scales[block] = numberToHalf(dtype === 'q8' ? Math.abs(largest) / most : largest / least)
    const scale = halfToNumber(scales[block] ?? 0)
    for (let column = 0; column < BLOCK; column++) {
      const value = values[begin + column] ?? Number.NaN
      const n = scale === 0 ? 0 : Math.max(least, Math.min(most, Math.round(value / scale)))
      decoded[begin + column] = n * scale
      if (dtype === 'q8') {
        quants[begin + column] = n
      } else {
        const [word, e] = [column >> 3, column & 7]
        const at = (begin >> 1) + word * 4 + (e & 3)
        quants[at] = (quants[at] ?? 0) | ((n + 8) << (e < 4 ? 0 : 4))
      }
    }
  }
  return { quants, scales, decoded }
}

/** The values of quants and scales. */
export function dequantise(quants: Uint8Array, scales: Uint16Array, dtype: 'q8' | 'q4'): Float64Array {
  return Float64Array.from({ length: scales.length * BLOCK }, (_, i) => {
    const scale = halfToNumber(scales[i >> 5] ?? 0)
    if (dtype === 'q8') {
      return (((quants[i] ?? 0) << 24) >> 24) * scale
    }
    const [word, e] = [i >> 3, i & 7]
    const byte = quants[word * 4 + (e & 3)] ?? 0
    return (((byte >> (e < 4 ? 0 : 4)) & 15) - 8) * scale
  })
}
