const BLOCK = 1 << 16

/** Uniform bits, from a fixed seed: xorshift32 by Marsaglia (2003). */
function randomWords(): Uint32Array<ArrayBuffer> {
  let state = 0x9e3779b9
  return Uint32Array.from({ length: BLOCK }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  })
}

const words = randomWords()

/** Fills an array with a block of values repeated: what matters is its size, not that no value returns. */
function repeat<T extends Float32Array | Uint16Array | Uint8Array>(target: T, block: T): T {
  const period = block.length - 1
  for (let at = 0; at < target.length; at += period) {
    target.set(block.subarray(0, Math.min(period, target.length - at)), at)
  }
  return target
}

/** Floats in `around` +- `scale`. */
export function randomFloats(count: number, scale: number, around = 0): Float32Array<ArrayBuffer> {
  const block = Float32Array.from(words, (word) => around + (word / 2 ** 31 - 1) * scale)
  return repeat(new Float32Array(count), block)
}

/** IEEE halves of either sign, or positive ones, from 2^`exponent` to 2^(`exponent` + 1). */
export function randomHalves(count: number, exponent: number, positive = false): Uint16Array<ArrayBuffer> {
  const block = Uint16Array.from(
    words,
    (word) => (positive ? 0 : (word >>> 16) & 0x8000) | ((exponent + 15) << 10) | (word & 1023),
  )
  return repeat(new Uint16Array(count), block)
}

/** Ids of tokens below `vocabularySize`. */
export function randomTokens(count: number, vocabularySize: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: count }, (_, i) => (words[i % BLOCK] ?? 0) % vocabularySize)
}

export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  return repeat(new Uint8Array(count), new Uint8Array(words.buffer))
}
