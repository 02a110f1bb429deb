import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Pipelines, UNIFORM_SLOT } from '../../src/engine/pipelines'
import { f32Bits } from '../../src/engine/recording'
import type { AttentionVariant } from '../../src/engine/variants'
import { Random } from '../support/random-model'
import { destroyDevices, installWebGpu, openDevice } from '../support/webgpu'

const HEAD_SIZE = 12
const LENGTHS = [9, 5, 20]
const TOKENS = 34
const [POISONED, END] = [9, 14]

/** Attention over three sequences; the only kernel in which a row sees others. */
async function attend(device: GPUDevice, variant: AttentionVariant, qkv: Float32Array<ArrayBuffer>) {
  const kernel = await new Pipelines(device).attention(variant, HEAD_SIZE, 'bidirectional', false)
  const step = variant.kind === 'tile' ? variant.queries : 1
  const blocks: number[] = []
  let start = 0
  for (const length of LENGTHS) {
    for (let query = start; query < start + length; query += step) {
      blocks.push(query, Math.min(step, start + length - query), start, start + length, 0, 0, 0, 0)
    }
    start += length
  }
  const buffer = (data: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>, usage: number) => {
    const created = device.createBuffer({ size: Math.max(UNIFORM_SLOT, data.byteLength), usage })
    device.queue.writeBuffer(created, 0, data)
    return created
  }
  const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
  const params = new Uint32Array([HEAD_SIZE, HEAD_SIZE, 3 * HEAD_SIZE, HEAD_SIZE, f32Bits(0.3), 0])
  const output = buffer(new Float32Array(TOKENS * HEAD_SIZE), storage)
  const readback = buffer(
    new Float32Array(TOKENS * HEAD_SIZE),
    GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  )
  const bindings = [
    buffer(params, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
    buffer(new Uint32Array(blocks), storage),
    buffer(qkv, storage),
    output,
  ]
  const entries = bindings.map((bound, binding) => ({
    binding,
    resource: { buffer: bound, ...(binding === 0 ? { size: UNIFORM_SLOT } : {}) },
  }))
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(kernel.pipeline)
  pass.setBindGroup(0, device.createBindGroup({ layout: kernel.layout, entries }), [0])
  pass.dispatchWorkgroups(blocks.length / 8)
  pass.end()
  encoder.copyBufferToBuffer(output, 0, readback, 0, readback.size)
  device.queue.submit([encoder.finish()])
  await readback.mapAsync(GPUMapMode.READ)
  return new Float32Array(readback.getMappedRange().slice(0))
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each([{ kind: 'plain' }, { kind: 'tile', queries: 16, keys: 16, rows: 1 }] as const)(
  'attention that is $kind',
  (variant) => {
    it.each([Number.NaN, Number.POSITIVE_INFINITY])('shouldKeep %d within its sequence', async (poison) => {
      const device = await openDevice()
      const qkv = Float32Array.from(new Random(5).values(TOKENS * 3 * HEAD_SIZE, 1))
      const clean = await attend(device, variant, qkv)
      const poisoned = await attend(
        device,
        variant,
        qkv.slice().fill(poison, POISONED * 3 * HEAD_SIZE, END * 3 * HEAD_SIZE),
      )
      const around = (values: Float32Array) => [
        ...values.subarray(0, POISONED * HEAD_SIZE),
        ...values.subarray(END * HEAD_SIZE),
      ]
      expect(around(poisoned)).toEqual(around(clean))
      expect(poisoned.subarray(POISONED * HEAD_SIZE, END * HEAD_SIZE).some(Number.isFinite)).toBe(false)
    })
  },
)
