import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { randomEngine } from '../support/engine'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { destroyDevices, installWebGpu, openDevice } from '../support/webgpu'

const proving = Boolean(process.env.SPLITCOMPUTE_PROVE)
const EMBEDS = proving ? 1_000 : 60
const ROUNDS = proving ? 50 : 5
const never = new AbortController().signal
const SHAPE: Shape = {
  heads: 2,
  headSize: 8,
  innerSize: 24,
  vocabularySize: 30,
  positions: 40,
  layers: 2,
  activation: 'relu',
  lmHead: true,
}

/** Counts the buffers of a device that exist, and their bytes. */
class BufferCensus {
  readonly #live = new Map<GPUBuffer, number>()

  constructor(device: GPUDevice) {
    const create = device.createBuffer.bind(device)
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor)
      this.#live.set(buffer, descriptor.size)
      const destroy = buffer.destroy.bind(buffer)
      buffer.destroy = () => {
        this.#live.delete(buffer)
        return destroy()
      }
      return buffer
    }
  }

  get count(): number {
    return this.#live.size
  }

  get bytes(): number {
    return [...this.#live.values()].reduce((sum, size) => sum + size, 0)
  }
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe('the memory of the GPU', () => {
  const random = new Random(21)
  const model = new RandomModel(SHAPE, 'f16', random)
  const batch = (length: number) => ({
    cut: 0,
    tokens: Int32Array.from({ length }, () => random.integer(0, SHAPE.vocabularySize - 1)),
    lengths: Int32Array.of(length),
    pooling: 'mean' as const,
    normalize: true,
  })

  it('shouldNotGrowWithEmbeds', async () => {
    const device = await openDevice()
    const census = new BufferCensus(device)
    const engine = await randomEngine(model, 'f16', { device })
    const decode = async (length: number) => {
      const session = await engine.session(0, 1, never)
      await session.hidden(batch(length), never)
      session.close()
    }
    await engine.run(batch(40), never)
    await decode(40)
    const { count, bytes } = census
    for (let i = 0; i < EMBEDS; i++) {
      await engine.run(batch(1 + (i % 40)), never)
    }
    for (let i = 0; i < EMBEDS / 20; i++) {
      await decode(1 + (i % 40))
    }
    await Promise.all(Array.from({ length: 8 }, () => engine.run(batch(5), never)))
    expect(census.count).toBe(count)
    expect(census.bytes).toBe(bytes)
  })

  it('shouldAllBeFreedWithTheEngine', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const device = await openDevice()
      const census = new BufferCensus(device)
      const engine = await randomEngine(model, 'f16', { device })
      await engine.run(batch(7), never)
      const session = await engine.session(0, 2, never)
      await session.top({ ...batch(7), lengths: Int32Array.of(4, 3) }, 3, never)
      engine.detach('layer.1')
      expect(census.count).toBeGreaterThan(0)
      engine.destroy()
      expect(census.count).toBe(0)
    }
  })
})
