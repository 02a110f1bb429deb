import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TailEngine } from '../../src/engine/tail-engine'
import { activations, randomEngine } from '../support/engine'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { destroyDevices, installWebGpu, openDevice } from '../support/webgpu'

const never = new AbortController().signal
const SHAPE: Shape = {
  heads: 2,
  headSize: 16,
  innerSize: 64,
  vocabularySize: 700,
  positions: 200,
  layers: 3,
  activation: 'relu',
  lmHead: true,
}
const model = new RandomModel(SHAPE, 'f32', new Random(5))
const LAYER_DISPATCHES = 7
const SLICE_SECONDS = 0.05
const FAST = 1e12

/** One device for all: what it has compiled for one engine it need not for the next. */
let device: GPUDevice
/** What it was given so far. */
let [submits, dispatches] = [0, 0]

/** Counts what a device is given. */
function count(device: GPUDevice): void {
  const submit = device.queue.submit.bind(device.queue)
  device.queue.submit = (buffers) => {
    submits++
    return submit(buffers)
  }
  const create = device.createCommandEncoder.bind(device)
  device.createCommandEncoder = (...parameters) => {
    const encoder = create(...parameters)
    const begin = encoder.beginComputePass.bind(encoder)
    encoder.beginComputePass = (...described) => {
      const pass = begin(...described)
      const dispatch = pass.dispatchWorkgroups.bind(pass)
      pass.dispatchWorkgroups = (...grid) => {
        dispatches++
        return dispatch(...grid)
      }
      return pass
    }
    return encoder
  }
}

/** What an engine does that believes its device to be so fast. */
async function counted<T>(speed: number, work: (engine: TailEngine) => Promise<T>) {
  const engine = await randomEngine(model, 'f32', { device, speed })
  const before = { submits, dispatches }
  const answer = await work(engine)
  return { answer, submits: submits - before.submits, dispatches: dispatches - before.dispatches }
}

const embed = (lengths: Int32Array) => (engine: TailEngine) => {
  const tokens = Int32Array.from({ length: lengths.reduce((sum, length) => sum + length, 0) }, (_, i) => i)
  return engine.run({ cut: 0, tokens, lengths, pooling: 'mean', normalize: true }, never)
}

beforeAll(async () => {
  installWebGpu()
  device = await openDevice()
  count(device)
})
afterAll(destroyDevices)

describe('a run', () => {
  const lengths = Int32Array.of(60, 40)

  it('shouldBeOneSubmitWhereItIsShort', async () => {
    const run = await counted(FAST, embed(lengths))
    expect(run.submits).toBe(1)
    expect(run.dispatches).toBeGreaterThan(SHAPE.layers * LAYER_DISPATCHES)
  })

  it('shouldGiveTheSameInSlicesOfASingleDispatch', async () => {
    const whole = await counted(FAST, embed(lengths))
    const sliced = await counted(1, embed(lengths))
    expect(sliced.answer).toEqual(whole.answer)
    expect(sliced.submits).toBe(whole.dispatches)
  })

  it('shouldHaveSlicesOfWhatTheDeviceDoesInTime', async () => {
    // Two of an MLP's matmuls do not go into one slice.
    const matmul = 2 * 100 * 32 * SHAPE.innerSize
    const run = await counted((1.5 * matmul) / SLICE_SECONDS, embed(lengths))
    expect(run.submits).toBeGreaterThanOrEqual(2 * SHAPE.layers)
    expect(run.submits).toBeLessThan(run.dispatches)
  })

  it('shouldCountItsAttention', async () => {
    // As many tokens, of which each sees one or a hundred others.
    const speed = 4e6 / SLICE_SECONDS
    const short = await counted(speed, embed(new Int32Array(100).fill(2)))
    const long = await counted(speed, embed(Int32Array.of(200)))
    expect(long.dispatches).toBe(short.dispatches)
    expect(long.submits).toBeGreaterThan(short.submits)
  })

  it('shouldTakeLogitsInSlicesAsWell', async () => {
    const all = Int32Array.from({ length: 150 }, (_, i) => i)
    const hidden = activations(new Random(6).values(150 * SHAPE.heads * SHAPE.headSize, 1), 'f32')
    const top = async (engine: TailEngine) => {
      const session = await engine.session(SHAPE.layers, 1, never)
      return session.top({ tokens: all, lengths: Int32Array.of(150), rows: all, hidden }, 3, never)
    }
    const whole = await counted(FAST, top)
    const sliced = await counted(1, top)
    expect(sliced.answer).toEqual(whole.answer)
    // The session's room for keys and values is a submit of its own.
    expect(whole.submits).toBe(2)
    expect(sliced.submits).toBe(1 + whole.dispatches)
  })
})
