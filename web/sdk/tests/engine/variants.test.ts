import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Dtype } from '../../src/client/manifest'
import { ATTENTIONS, type ForcedVariants, MATMULS, type MatmulName } from '../../src/engine/variants'
import { randomEngine } from '../support/engine'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { Reference } from '../support/reference'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu, openBestDevice, openDevice } from '../support/webgpu'

const never = new AbortController().signal
const DTYPES = ['f32', 'f16', 'q8', 'q4'] as const
/** Needs more than the default limits, or a feature. */
const DEMANDING: readonly MatmulName[] = ['row-subgroups', 'tile-64-deep']

const TILES = (Object.keys(MATMULS) as MatmulName[]).filter((name) => MATMULS[name].kind === 'tile')

/** Sizes that are multiples of no tile. */
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

// The inner dimensions above are one slice each.
describe.each(TILES)('the matmul %s in slices', (matmul) => {
  it('shouldAgreeWithTheReference', async () => {
    const device = DEMANDING.includes(matmul) ? await openBestDevice() : await openDevice()
    const shape = { ...SHAPE, headSize: 47, innerSize: 140, layers: 1 }
    await compare(shape, 'f16', device, { matmul }, [1, 66])
  })
})

// One row's matmuls compute the LayerNorms and add to the residual stream.
describe.each(['row-subgroups', 'row'] as const)('the matmul %s', (matmul) => {
  it.each(DTYPES)('shouldAgreeWithTheReferenceForASingleTokenIn %s', async (dtype) => {
    await compare({ ...SHAPE, order: 'pre' }, dtype, await openBestDevice(), { matmul }, [1])
  })
})

// As large as the default limits allow.
const HEAD_SIZES = {
  'tile-4': 108,
  'tile-16': 68,
  'tile-32': 44,
  'tile-8': 164,
  plain: 31,
} as const satisfies Record<Exclude<keyof typeof ATTENTIONS, 'split'>, number>

describe.each(Object.keys(HEAD_SIZES) as (keyof typeof HEAD_SIZES)[])('the attention %s', (name) => {
  it.each(['causal', 'bidirectional'] as const)(
    'shouldAgreeWithTheReferenceWhereTheMaskIs %s',
    async (mask) => {
      // The last four elements of a head are none or some.
      const headSize = HEAD_SIZES[name] - (mask === 'causal' ? 3 : 0)
      const shape = { ...SHAPE, heads: 2, headSize, innerSize: 8, mask, layers: 1 }
      await compare(shape, 'f32', await openDevice(), { attention: ATTENTIONS[name] }, [33, 1, 70])
    },
  )
})

describe.each([16, 256] as const)('the LayerNorm by %d threads', (norm) => {
  it.each(['pre', 'post'] as const)('shouldAgreeWithTheReferenceWhereItComes %s', async (order) => {
    const shape = { ...SHAPE, order, embeddingNorm: order === 'post', types: 2 }
    await compare(shape, 'f32', await openDevice(), { norm }, [1, 20])
  })
})
