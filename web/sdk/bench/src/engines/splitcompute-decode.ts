import { requestDevice } from '../../../src/engine/gpu'
import { KvCache } from '../../../src/engine/kv-cache'
import { Pipelines } from '../../../src/engine/pipelines'
import type { RunSpan } from '../../../src/engine/run-encoding'
import { RunQueue } from '../../../src/engine/run-queue'
import { TailProgram } from '../../../src/engine/tail-program'
import { UnitBuffers } from '../../../src/engine/unit-buffers'
import { MOST_TOKENS, rowStride } from '../../../src/engine/workspace'
import { randomFloats } from '../random-data'
import { DISTINCT_LAYERS } from '../shapes'
import type { Engine } from './engine'
import { inFlight } from './flight'
import { describeModel, layersACall, randomUnits } from './random-model'

/**
 * One token behind a context. A session would go on with each call; here the same place is computed again, with what a session is made
 * of, so that every call has the same context.
 */
export const loadDecode: Engine['load'] = async (shape, dtype) => {
  const device = await requestDevice()
  const manifest = describeModel(shape, dtype, 1 + layersACall(device))
  const { layers, hiddenSize } = manifest
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits
  const bufferLimit = Math.min(maxBufferSize, maxStorageBufferBindingSize)
  const units = await randomUnits(
    (unit, tensors, bytes) => UnitBuffers.allocate(device, unit, tensors, bytes, bufferLimit),
    manifest,
    dtype,
  )
  const program = new TailProgram(new Pipelines(device), manifest, dtype, {})
  const queue = new RunQueue(program, MOST_TOKENS, (name) => units.get(name) as UnitBuffers)
  const input = { dtype: 'f32', bytes: new Uint8Array(randomFloats(hiddenSize, 1).buffer) } as const
  const { signal } = new AbortController()
  return {
    enter: async (tokens) => {
      const cache = new KvCache(
        { from: 1, to: layers, hiddenSize, sequences: 1, mostTokens: MOST_TOKENS, bufferLimit },
        { device, claim: () => undefined, forget: (key) => program.groups.forget(key) },
      )
      await cache.reserve(tokens)
      const step = (from: number) => {
        const span: RunSpan = {
          lengths: [1],
          input,
          from,
          to: layers,
          final: true,
          cached: cache.sequences([0], [tokens - 1]),
        }
        const finish = () => [{ from: 0, rows: 1, to: 0 }]
        return queue.run([span], rowStride(hiddenSize) * 4, signal, finish)
      }
      return {
        device,
        queuedLayers: layers - 1,
        aloneLayers: DISTINCT_LAYERS,
        queue: (calls) => inFlight(calls, () => step(1)),
        alone: async () => {
          await step(layers - DISTINCT_LAYERS)
        },
        leave: async () => cache.destroy(),
      }
    },
    close: async () => {
      queue.destroy()
      device.destroy()
    },
  }
}
