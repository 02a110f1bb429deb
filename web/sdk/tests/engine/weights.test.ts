import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { matmulDispatch } from '../../src/engine/matmul-dispatch'
import { type Kernel, Pipelines } from '../../src/engine/pipelines'
import { MATMULS } from '../../src/engine/variants'
import { rowStride } from '../../src/engine/workspace'
import { dispatch } from '../support/dispatch'
import { quantisedVectors } from '../support/vectors'
import { destroyDevices, installWebGpu, openDevice } from '../support/webgpu'

beforeAll(installWebGpu)
afterAll(destroyDevices)

/** One of each kind; all read weights by the same code. */
const VARIANTS = ['plain', 'row', 'tile-16'] as const

describe.each(VARIANTS.flatMap((variant) => [[variant, 'q8'] as const, [variant, 'q4'] as const]))(
  'the matmul %s in %s',
  (variant, dtype) => {
    let device: GPUDevice
    let kernel: Kernel

    beforeAll(async () => {
      device = await openDevice()
      kernel = await new Pipelines(device).matmul({ variant, dtype, unaligned: false, epilogue: undefined })
    }, 120_000)

    it.each(quantisedVectors(dtype))('shouldReadWhatTheSharderWrote, to the bit: $name', async (vector) => {
      const { rows: out, quants, scales, decoded } = vector
      const columns = decoded.length / out
      // Multiplied by the identity, weights are as they are.
      const input = new Float32Array(columns * rowStride(columns))
      for (let column = 0; column < columns; column++) {
        input[column * rowStride(columns) + column] = 1
      }
      const shape = { rows: columns, columns, out, outputStride: out, mostSlices: 1 }
      const { constants, grid } = matmulDispatch(MATMULS[variant], dtype, shape)
      const words = (bytes: ArrayBuffer) => new Uint32Array(padded(new Uint8Array(bytes)).buffer)
      const output = new Float32Array(columns * out)
      const bound = [input, words(quants.buffer), new Float32Array(out), output, words(scales.buffer)]
      const product = await dispatch(device, kernel, constants, grid, bound, 4)
      const actual = decoded.map(
        (_, i) => product[(i % columns) * out + Math.floor(i / columns)] ?? Number.NaN,
      )
      // Zero has two signs, and a sum of zeros may have either.
      expect(bits(actual)).toEqual(bits(decoded))
    })
  },
)

function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4)
  whole.set(bytes)
  return whole
}

function bits(values: readonly number[]): string[] {
  const words = new Uint32Array(Float32Array.from(values, (value) => value + 0).buffer)
  return Array.from(words, (word) => word.toString(16))
}
