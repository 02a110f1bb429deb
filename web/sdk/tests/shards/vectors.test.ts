import { describe, expect, it } from 'vitest'
import { readActivations } from '../../src/client/activations'
import { readSafetensorsHeader } from '../../src/shards/safetensors'
import { halfToNumber } from '../support/half'
import { dequantise } from '../support/quantise'
import { widen } from '../support/tensors'
import { decode, float, quantisedVectors, vectors, WEIGHTS } from '../support/vectors'

function read(bytes: Uint8Array) {
  return readSafetensorsHeader(bytes, bytes.byteLength, 'invalid_shard', 'The vector')
}

describe('safetensors', () => {
  const { accept, refuse } = vectors<{
    accept: { name: string; base64: string; metadata: Record<string, string>; tensors: object }[]
    refuse: { name: string; base64: string }[]
  }>(`${WEIGHTS}/safetensors.json`)

  it.each(accept)('shouldRead $name', ({ base64, metadata, tensors }) => {
    const header = read(decode(base64))
    expect(Object.fromEntries(header.metadata)).toEqual(metadata)
    expect(header.tensors.map(({ name }) => name).sort()).toEqual(Object.keys(tensors).sort())
  })

  // JSON.parse cannot tell 1.0 from 1.
  const visible = refuse.filter(({ name }) => name !== 'a size written as a float')

  it.each(visible)('shouldRefuse $name', ({ base64 }) => {
    expect(() => read(decode(base64))).toThrow(expect.objectContaining({ code: 'invalid_shard' }))
  })
})

describe('a shard', () => {
  const { tensors, shards } = vectors<{
    tensors: { name: string; shape: number[]; bits: string[] }[]
    shards: { dtype: string; base64: string }[]
  }>(`${WEIGHTS}/shard.json`)

  it.each(shards)('shouldHoldItsTensorsIn $dtype', ({ base64 }) => {
    const bytes = decode(base64)
    const header = read(bytes)
    expect(header.dataOffset % 256).toBe(0)
    for (const { name, shape, bits } of tensors) {
      const tensor = header.tensors.find((candidate) => candidate.name === name)
      expect(tensor, name).toBeDefined()
      if (tensor === undefined) {
        continue
      }
      expect(tensor.offset % 256).toBe(0)
      const [rows = 0, columns = 1] = shape
      const stored = tensor.shape[1] ?? 1
      const values = widen(tensor, bytes.subarray(header.dataOffset))
      for (let i = 0; i < rows * columns; i++) {
        const value = values[Math.floor(i / columns) * stored + (i % columns)] ?? Number.NaN
        const expected = float(bits[i] ?? '')
        const bound = tensor.dtype === 'F32' ? 0 : Math.max(2 ** -25, Math.abs(expected) * 2 ** -11)
        expect(Math.abs(value - expected), `${name}[${i}]`).toBeLessThanOrEqual(bound)
      }
    }
  })
})

describe('halves', () => {
  const { toFloat } = vectors<{ toFloat: [string, string][] }>(`${WEIGHTS}/half.json`)

  it.each(toFloat)('shouldWiden %s', (half, bits) => {
    expect(halfToNumber(Number.parseInt(half, 16))).toBe(float(bits))
  })
})

describe.each(['q8', 'q4'] as const)('weights in %s', (dtype) => {
  // The engine's own decoder is a kernel's: `engine/weights.test.ts`.
  it.each(quantisedVectors(dtype))('shouldBeReadByTheReference: $name', (vector) => {
    const { rows, quants, scales, decoded } = vector
    const values = dequantise(quants, scales, dtype)
    const stored = values.length / rows
    const width = decoded.length / rows
    expect(width).toBeGreaterThanOrEqual(vector.columns)
    for (const [i, expected] of decoded.entries()) {
      const value = values[Math.floor(i / width) * stored + (i % width)]
      // Zero has two signs, and n * scale may give either.
      expect((value ?? Number.NaN) + 0).toBe(expected + 0)
    }
  })
})

describe('the activations message', () => {
  const { messages, refused } = vectors<{
    messages: {
      name: string
      cut: number
      dtype: string
      tokens: number[]
      lengths: number[]
      hiddenSize: number
      base64: string
    }[]
    refused: { name: string; base64: string; hiddenSize?: number }[]
  }>('functions/head/src/test/resources/vectors/activations.json')

  // The SDK never asks for i8.
  it.each(messages.filter(({ dtype }) => dtype !== 'I8'))('shouldBeRead: $name', (message) => {
    const read = readActivations(decode(message.base64), message.hiddenSize)
    expect(read.cut).toBe(message.cut)
    expect(Array.from(read.tokens)).toEqual(message.tokens)
    expect(Array.from(read.lengths)).toEqual(message.lengths)
    expect(read.hidden === undefined).toBe(message.cut === 0)
  })

  it.each(refused)('shouldBeRefused: $name', ({ base64, hiddenSize }) => {
    expect(() => readActivations(decode(base64), hiddenSize ?? messages[0]?.hiddenSize ?? 0)).toThrow(
      expect.objectContaining({ code: 'invalid_message' }),
    )
  })
})
