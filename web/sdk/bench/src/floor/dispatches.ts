import { idle } from '../timing'

/** A dispatch that is ready to be repeated. */
export interface Prepared {
  readonly pipeline: GPUComputePipeline
  readonly group: GPUBindGroup
  /** Of the group's buffers that have dynamic ones. */
  readonly offsets: readonly number[]
  readonly grid: readonly [x: number, y?: number, z?: number]
}

export async function prepare(
  device: GPUDevice,
  code: string,
  buffers: readonly GPUBuffer[],
  grid: Prepared['grid'],
): Promise<Prepared> {
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }), entryPoint: 'main' },
  })
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }))
  return {
    pipeline,
    group: device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }),
    offsets: [],
    grid,
  }
}

/** Calls of `dispatches` dispatches, all queued in one pass. */
export function repeated(
  device: GPUDevice,
  { pipeline, group, offsets, grid }: Prepared,
  dispatches: number,
) {
  return async (calls: number): Promise<void> => {
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group, offsets)
    for (let i = 0; i < calls * dispatches; i++) {
      pass.dispatchWorkgroups(...grid)
    }
    pass.end()
    device.queue.submit([encoder.finish()])
    await idle(device)
  }
}
