import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TailBatch } from '../../src/engine/batch'
import { allocate } from '../../src/engine/gpu'
import { TailEngine } from '../../src/engine/tail-engine'
import { activations, randomEngine } from '../support/engine'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { destroyDevices, installWebGpu, openBestDevice, openDevice } from '../support/webgpu'

const never = new AbortController().signal
const SHAPE: Shape = {
  heads: 3,
  headSize: 10,
  innerSize: 37,
  vocabularySize: 90,
  positions: 40,
  layers: 2,
  activation: 'relu',
  lmHead: true,
}
const model = new RandomModel(SHAPE, 'f32', new Random(14))
const HIDDEN = 30

const tokens = Int32Array.of(5, 6, 7, 8, 9)
const lengths = Int32Array.of(2, 3)
const batch: TailBatch = { cut: 0, tokens, lengths, pooling: 'mean', normalize: true }

/** Makes a device say that it has no room whenever a buffer with this label is created. */
function leaveNoRoom(device: GPUDevice, label: string): void {
  const create = device.createBuffer.bind(device)
  const pop = device.popErrorScope.bind(device)
  let full = false
  device.createBuffer = (descriptor) => {
    full ||= descriptor.label === label
    return create(descriptor)
  }
  device.popErrorScope = async () => {
    const refused = full
    full = false
    return (await pop()) ?? (refused ? new GPUOutOfMemoryError('full') : null)
  }
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe('a device that is lost', () => {
  it('shouldBeReportedByTheRun', async () => {
    const engine = await randomEngine(model, 'f32')
    const result = engine.run(batch, never)
    engine.device.destroy()
    await expect(result).rejects.toMatchObject({ name: 'SplitComputeError', code: 'device_lost' })
    await expect(engine.run(batch, never)).rejects.toMatchObject({ code: 'device_lost' })
  })

  it('shouldBeReportedByTheRunWhoseResultIsWaitedFor', async () => {
    const device = await openDevice()
    const create = device.createBuffer.bind(device)
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor)
      const map = buffer.mapAsync.bind(buffer)
      buffer.mapAsync = (...parameters) => {
        const mapped = map(...parameters)
        device.destroy()
        return mapped
      }
      return buffer
    }
    const engine = await randomEngine(model, 'f32', { device })
    await expect(engine.run(batch, never)).rejects.toMatchObject({ code: 'device_lost' })
  })

  it('shouldBeReportedByRunsOfAnEngineThatIsDestroyed', async () => {
    const engine = await randomEngine(model, 'f32')
    const results = [engine.run(batch, never), engine.run(batch, never)]
    engine.destroy()
    for (const result of results) {
      await expect(result).rejects.toMatchObject({ name: 'SplitComputeError' })
    }
  })
})

describe('a GPU that fails', () => {
  it('shouldNotBeTakenForOneThatIsLost', async () => {
    const device = await openDevice()
    const engine = await randomEngine(model, 'f32', { device })
    await engine.run(batch, never)
    const pop = device.popErrorScope.bind(device)
    device.popErrorScope = async () => {
      await pop()
      throw new DOMException('of its own', 'OperationError')
    }
    await expect(engine.run(batch, never)).rejects.toMatchObject({ code: 'wrong_result' })
    device.popErrorScope = pop
    await expect(engine.run(batch, never)).resolves.toHaveLength(2)
  })

  it('shouldBeAskedAgainForAKernelThatItDidNotCompile', async () => {
    const device = await openDevice()
    const engine = await randomEngine(model, 'f32', { device })
    const compile = device.createComputePipelineAsync.bind(device)
    device.createComputePipelineAsync = async () => {
      throw new DOMException('no room for the compiler', 'GPUPipelineError')
    }
    await expect(engine.run(batch, never)).rejects.toMatchObject({ code: 'canary_failed' })
    device.createComputePipelineAsync = compile
    await expect(engine.run(batch, never)).resolves.toHaveLength(2)
  })

  it('shouldEndARunWithTheReasonOfItsSignalWhereBothEndIt', async () => {
    const device = await openDevice()
    const engine = await randomEngine(model, 'f32', { device })
    const controller = new AbortController()
    const result = engine.run(batch, controller.signal)
    controller.abort(new Error('enough'))
    device.destroy()
    await expect(result).rejects.toThrow('enough')
  })
})

describe('a GPU without room', () => {
  it('shouldBeReportedInTruth', async () => {
    const device = await openBestDevice()
    // As many of the largest buffers as it takes.
    const descriptor = { size: device.limits.maxBufferSize, usage: GPUBufferUsage.STORAGE }
    const fill = async () => {
      for (;;) {
        await allocate(device, [descriptor])
      }
    }
    await expect(fill()).rejects.toMatchObject({ code: 'out_of_memory' })
    device.destroy()
  })

  it.each(['uniforms', 'qkv', 'readback'])('shouldBeReportedWhereItHasNoneFor %s', async (label) => {
    const device = await openDevice()
    leaveNoRoom(device, label)
    const engine = await randomEngine(model, 'f32', { device })
    await expect(engine.run(batch, never)).rejects.toMatchObject({ code: 'out_of_memory' })
  })

  it('shouldBeReportedWhereItHasNoneForAUnit', async () => {
    const device = await openDevice()
    leaveNoRoom(device, 'layer.1')
    await expect(randomEngine(model, 'f32', { device })).rejects.toMatchObject({ code: 'out_of_memory' })
  })

  it('shouldBeToldFromOneWhoseLimitsAreSmaller', async () => {
    const bytes = 2 ** 34
    const tensors = [{ name: 'mlp.up.weight', dtype: 'F32', shape: [bytes / 4], offset: 0, bytes }]
    const engine = new TailEngine(await openDevice(), model.manifest, 'f32', 64)
    await expect(engine.allocate('layer.0', tensors, bytes)).rejects.toMatchObject({ code: 'limit_exceeded' })
    const unlimited = new TailEngine(await openDevice(), model.manifest, 'f32', 64, { bufferLimit: bytes })
    await expect(unlimited.allocate('layer.0', tensors, bytes)).rejects.toMatchObject({
      code: 'limit_exceeded',
    })
  })
})

describe('a sequence that is not finite', () => {
  const own = Int32Array.of(4, 3, 5)
  const count = 12
  let device: GPUDevice

  beforeAll(async () => {
    device = await openDevice()
  })

  /** Rows for three sequences, those of the second as they are or not finite. */
  function hidden(poison: number | undefined) {
    const values = new Random(3).values(count * HIDDEN, 1)
    if (poison !== undefined) {
      values.fill(poison, 4 * HIDDEN, 7 * HIDDEN)
    }
    return activations(values, 'f32')
  }

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('shouldSpoilNoOther: %d', async (poison) => {
    const engine = await randomEngine(model, 'f32', { device })
    for (const pooling of ['mean', 'last', 'cls', 'none'] as const) {
      const given = { cut: 1, tokens: new Int32Array(count), lengths: own, pooling, normalize: true }
      const clean = await engine.run({ ...given, hidden: hidden(undefined) }, never)
      const poisoned = await engine.run({ ...given, hidden: hidden(poison) }, never)
      expect(poisoned).toEqual([clean[0], new Float32Array(), clean[2]])
    }
  })

  it('shouldSpoilNoOtherOfASession', async () => {
    const engine = await randomEngine(model, 'f32', { device })
    const steps = async (poison: number | undefined) => {
      const session = await engine.session(1, 3, never)
      const first = { tokens: new Int32Array(count), lengths: own }
      const next = { tokens: new Int32Array(3), lengths: Int32Array.of(1, 1, 1) }
      const more = activations(new Random(4).values(3 * HIDDEN, 1), 'f32')
      return {
        rows: await session.hidden({ ...first, hidden: hidden(poison) }, never),
        top: await session.top({ ...next, hidden: more }, 2, never),
      }
    }
    const [clean, poisoned] = [await steps(undefined), await steps(Number.NaN)]
    expect(poisoned.rows).toEqual([clean.rows[0], new Float32Array(), clean.rows[2]])
    const none = { ids: new Int32Array(), logits: new Float32Array() }
    expect(poisoned.top).toEqual([clean.top[0], none, clean.top[2]])
  })

  it('shouldBeRefusedWhereThereIsNoOther', async () => {
    const engine = await randomEngine(model, 'f32', { device })
    const only = activations(new Float64Array(HIDDEN).fill(Number.NaN), 'f32')
    const given = { ...batch, cut: 1, tokens: Int32Array.of(0), lengths: Int32Array.of(1), hidden: only }
    await expect(engine.run(given, never)).rejects.toMatchObject({ code: 'wrong_result' })
  })
})

describe('a batch', () => {
  let engine: TailEngine

  beforeAll(async () => {
    engine = await randomEngine(model, 'f32')
  })

  it.each<[string, Partial<TailBatch>]>([
    ['a token beyond the vocabulary', { tokens: Int32Array.of(5, 6, 7, 8, 90) }],
    ['a negative token', { tokens: Int32Array.of(5, -1, 7, 8, 9) }],
    ['lengths of other tokens', { lengths: Int32Array.of(2, 2) }],
    ['a sequence without tokens', { lengths: Int32Array.of(5, 0) }],
    ['no sequences', { tokens: new Int32Array(), lengths: new Int32Array() }],
    ['a sequence past the context', { tokens: new Int32Array(41), lengths: Int32Array.of(41) }],
    ['no activations behind cut 0', { cut: 1 }],
    ['a cut behind the last', { cut: 3 }],
    ['activations of another size', { cut: 1, hidden: activations(new Float64Array(5), 'f32') }],
  ])('shouldBeRefusedWith %s', async (_, change) => {
    await expect(engine.run({ ...batch, ...change }, never)).rejects.toMatchObject({
      code: 'invalid_argument',
    })
  })
})
