import { SplitComputeError } from '../errors'

/**
 * The device with all that its adapter offers and the engine uses: tables of large models exceed the default limits, and kernels are
 * faster with subgroups and more workgroup memory.
 *
 * @throws SplitComputeError `no_webgpu`
 */
export async function requestDevice(): Promise<GPUDevice> {
  const gpu = typeof navigator === 'undefined' ? undefined : (navigator as Partial<Navigator>).gpu
  if (gpu === undefined) {
    throw new SplitComputeError('no_webgpu', 'This browser has no WebGPU.')
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) {
    throw new SplitComputeError('no_webgpu', 'This browser has no WebGPU here: it offers no GPU.')
  }
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits
  try {
    return await adapter.requestDevice({
      requiredFeatures: adapter.features.has('subgroups') ? ['subgroups'] : [],
      requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize },
    })
  } catch (cause) {
    throw new SplitComputeError(
      'no_webgpu',
      'This browser has no WebGPU here: its GPU could not be opened.',
      { cause },
    )
  }
}

/** Most bytes that a kernel can be given as one binding. */
export function bindingLimit({ limits }: GPUDevice): number {
  return Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize)
}

/** How much later than the failures that it causes the loss of a device may be told. */
const LOSS_MS = 200

/**
 * What made work on a GPU fail, as callers tell failures apart: a lost device makes promises reject in its own ways.
 *
 * @returns SplitComputeError `device_lost` once the device is lost, `wrong_result` where the GPU failed without that; any other
 *   error as it is
 */
export async function failureOf(device: GPUDevice, cause: unknown): Promise<unknown> {
  const typed = cause instanceof SplitComputeError
  if (typed && cause.cause === undefined) {
    return cause
  }
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), LOSS_MS)
  })
  const loss = await Promise.race([device.lost, late])
  clearTimeout(timer)
  if (loss !== undefined) {
    const why = loss.message || loss.reason
    return new SplitComputeError('device_lost', `The GPU was lost during the run: ${why}`, { cause })
  }
  const ofGpu = cause instanceof Error && /^(Operation|Abort)Error$/.test(cause.name)
  return !typed && ofGpu
    ? new SplitComputeError('wrong_result', `The GPU failed: ${cause.message}`, { cause })
    : cause
}

/**
 * Allocates buffers and waits until it is sure that they exist: WebGPU reports a failed allocation only in an error scope.
 *
 * @throws SplitComputeError `out_of_memory`, `limit_exceeded` for a buffer larger than the device allows, `device_lost`
 */
export async function allocate(
  device: GPUDevice,
  descriptors: readonly GPUBufferDescriptor[],
): Promise<GPUBuffer[]> {
  device.pushErrorScope('out-of-memory')
  device.pushErrorScope('validation')
  const buffers: GPUBuffer[] = []
  let thrown: unknown
  try {
    for (const descriptor of descriptors) {
      buffers.push(device.createBuffer(descriptor))
    }
  } catch (error) {
    thrown = error
  }
  const scopes = Promise.all([device.popErrorScope(), device.popErrorScope()])
  try {
    const found = (await scopes).find((error) => error !== null)
    const error = thrown ?? found
    if (error === undefined) {
      return buffers
    }
    const bytes = descriptors.reduce((sum, { size }) => sum + size, 0)
    throw error instanceof GPUValidationError
      ? new SplitComputeError('limit_exceeded', `The GPU refuses a buffer: ${error.message}`, {
          cause: error,
        })
      : new SplitComputeError('out_of_memory', `The GPU has no room for ${bytes} more bytes.`, {
          cause: error,
        })
  } catch (error) {
    for (const buffer of buffers) {
      buffer.destroy()
    }
    throw await failureOf(device, error)
  }
}
