import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Dtype } from '../../src/client/manifest'
import { type ForcedVariants, MATMULS, type MatmulName } from '../../src/engine/variants'
import { randomEngine } from '../support/engine'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { Reference } from '../support/reference'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu, openBestDevice, openDevice } from '../support/webgpu'

const never = new AbortController().signal
const DTYPES = ['f32', 'f16', 'q8', 'q4'] as const
/** Needs more than the default limits, or a feature. */
const DEMANDING: readonly MatmulName[] = ['row-subgroups', 'tile-64-deep']

/** Sizes that are multiples of no tile, and more than one slice of the inner dimension. */
const SHAPE: Shape = {
  heads: 3,
  headSize: 31,
  innerSize: 93,
  vocabularySize: 50,
  positions: 80,
  layers: 2,
  activation: 'gelu_tanh',
}

async function compare(
  shape: Shape,
  dtype: Dtype,
  device: GPUDevice,
  forced: ForcedVariants,
  lengths: number[],
) {
  const random = new Random(shape.headSize)
  const model = new RandomModel(shape, dtype, random)
  const engine = await randomEngine(model, dtype, { device, forced })
  const count = lengths.reduce((sum, length) => sum + length, 0)
  const tokens = Int32Array.from({ length: count }, () => random.integer(0, shape.vocabularySize - 1))
  const batch = {
    cut: 0,
    tokens,
    lengths: Int32Array.from(lengths),
    pooling: 'none',
    normalize: false,
  } as const
  const actual = joined(await engine.run(batch, never))
  const reference = new Reference(model.manifest, model.weights)
  const x = reference.embed(tokens, batch.lengths)
  const expected = reference.final(reference.layers(0, shape.layers, x, batch.lengths))
  expect(difference(actual, expected)).toBeLessThan(1e-4)
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(Object.keys(MATMULS) as MatmulName[])('the matmul %s', (matmul) => {
  // A tile takes seconds to compile for a software GPU; how it reads weights is the same in all of them.
  it.each(/^tile-64/.test(matmul) ? DTYPES.slice(1, 2) : DTYPES)(
    'shouldAgreeWithTheReferenceIn %s',
    async (dtype) => {
      const device = DEMANDING.includes(matmul) ? await openBestDevice() : await openDevice()
      const order = dtype === 'f16' ? 'post' : 'pre'
      await compare({ ...SHAPE, order }, dtype, device, { matmul }, /row/.test(matmul) ? [3] : [1, 66])
    },
  )
})

// One row's matmuls compute the LayerNorms and add to the residual stream.
describe.each(['row-subgroups', 'row'] as const)('the matmul %s', (matmul) => {
  it.each(DTYPES)('shouldAgreeWithTheReferenceForASingleTokenIn %s', async (dtype) => {
    await compare({ ...SHAPE, order: 'pre' }, dtype, await openBestDevice(), { matmul }, [1])
  })
})

describe.each([
  { queries: 32, keys: 32, rows: 2, headSize: 33, device: openBestDevice },
  { queries: 16, keys: 16, rows: 1, headSize: 64, device: openDevice },
  { queries: 4, keys: 32, rows: 1, headSize: 10, device: openDevice },
])('attention of $queries queries by $keys keys', ({ queries, keys, rows, headSize, device }) => {
  it.each(['causal', 'bidirectional'] as const)(
    'shouldAgreeWithTheReferenceWhereTheMaskIs %s',
    async (mask) => {
      const shape = { ...SHAPE, heads: 2, headSize, innerSize: 8, mask, layers: 1 }
      const forced = { attention: { kind: 'tile', queries, keys, rows } } as const
      await compare(shape, 'f32', await device(), forced, [33, 1, 70])
    },
  )
})
