import { BindGroups } from '../../../src/engine/bind-groups'
import { matmulDispatch } from '../../../src/engine/matmul-dispatch'
import { Pipelines, UNIFORM_SLOT } from '../../../src/engine/pipelines'
import {
  type DeviceTraits,
  deviceTraits,
  MATMULS,
  type MatmulVariant,
  matmuls,
} from '../../../src/engine/variants'
import { rowStride } from '../../../src/engine/workspace'
import { storedColumns } from '../../../src/shards/unit-layout'
import type { MatmulSize } from '../shapes'
import type { Prepared } from './dispatches'

/** Rows up to which a kernel for single rows is tried. */
const FEW_ROWS = 16

/** The engine's f32 kernels at a size, bare: without bias or activation, and slices of the inner dimension are left to lie. */
export async function engineMatmuls(
  device: GPUDevice,
  { m, k, n }: MatmulSize,
): Promise<{ matmuls: readonly Prepared[]; buffers: readonly GPUBuffer[] }> {
  const traits = deviceTraits(device)
  const pipelines = new Pipelines(device)
  const groups = new BindGroups(device)
  const buffers: GPUBuffer[] = []
  const buffer = (size: number, usage: number) => {
    const created = device.createBuffer({ size, usage })
    buffers.push(created)
    return created
  }
  const storage = (floats: number) => buffer(floats * 4, GPUBufferUsage.STORAGE)
  const input = storage(m * rowStride(k))
  const weight = storage(n * storedColumns(k, 'f32'))
  const bias = storage(n)
  const prepared: Prepared[] = []
  for (const name of matmuls(m, traits).filter((name) => suits(MATMULS[name], m, traits))) {
    const variant: MatmulVariant = MATMULS[name]
    const unaligned = k % 4 !== 0
    const kernel = await pipelines.matmul({ variant: name, dtype: 'f32', unaligned, epilogue: undefined })
    for (const mostSlices of variant.kind === 'tile' ? [1, Number.POSITIVE_INFINITY] : [1]) {
      const shape = { rows: m, columns: k, out: n, mostSlices }
      const { constants, grid, slices } = matmulDispatch(variant, 'f32', shape)
      if (slices > 1 || mostSlices === 1) {
        const uniforms = buffer(UNIFORM_SLOT, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST)
        device.queue.writeBuffer(uniforms, 0, new Uint32Array(constants))
        const output = storage(slices * m * rowStride(n))
        const group = groups.create(kernel, uniforms, [input, weight, bias, output])
        prepared.push({ pipeline: kernel.pipeline, group, offsets: [0], grid })
      }
    }
  }
  return { matmuls: prepared, buffers }
}

/** Whether a variant is worth its time here: one that is never the fastest takes minutes. */
function suits(variant: MatmulVariant, rows: number, { software }: DeviceTraits): boolean {
  switch (variant.kind) {
    case 'plain':
      return software
    case 'tile':
      return !software
    case 'row':
      return !software && rows <= FEW_ROWS
  }
}
