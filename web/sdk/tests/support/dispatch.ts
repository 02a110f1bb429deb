import { type Kernel, UNIFORM_SLOT } from '../../src/engine/pipelines'
import type { Grid } from '../../src/engine/recording'

/** What a test binds: a buffer of these bytes. */
export type Bound = Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>

/** Dispatches a kernel once, and gives what is then in the binding `output`. */
export async function dispatch(
  device: GPUDevice,
  kernel: Kernel,
  constants: readonly number[],
  grid: Grid,
  bound: readonly Bound[],
  output: number,
): Promise<Float32Array> {
  const buffer = (data: Bound, usage: number) => {
    const created = device.createBuffer({ size: Math.max(UNIFORM_SLOT, data.byteLength), usage })
    device.queue.writeBuffer(created, 0, data)
    return created
  }
  const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
  const uniforms = buffer(new Uint32Array(constants), GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST)
  const buffers = [uniforms, ...bound.map((data) => buffer(data, storage))]
  const bytes = bound[output - 1]?.byteLength ?? 0
  const readback = buffer(new Float32Array(bytes / 4), GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST)
  const entries = buffers.map((each, binding) => ({
    binding,
    resource: { buffer: each, ...(binding === 0 ? { size: UNIFORM_SLOT } : {}) },
  }))
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(kernel.pipeline)
  pass.setBindGroup(0, device.createBindGroup({ layout: kernel.layout, entries }), [0])
  pass.dispatchWorkgroups(...grid)
  pass.end()
  encoder.copyBufferToBuffer(buffers[output] as GPUBuffer, 0, readback, 0, bytes)
  device.queue.submit([encoder.finish()])
  await readback.mapAsync(GPUMapMode.READ, 0, bytes)
  return new Float32Array(readback.getMappedRange(0, bytes).slice(0))
}
