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

/**
 * Allocates buffers and waits until it is sure that they exist: WebGPU reports a failed allocation only in an error scope.
 *
 * @throws SplitComputeError `out_of_memory`
 */
export async function allocate(
  device: GPUDevice,
  descriptors: readonly GPUBufferDescriptor[],
): Promise<GPUBuffer[]> {
  device.pushErrorScope('out-of-memory')
  device.pushErrorScope('validation')
  const buffers: GPUBuffer[] = []
  let failure: unknown
  try {
    for (const descriptor of descriptors) {
      buffers.push(device.createBuffer(descriptor))
    }
  } catch (error) {
    failure = error
  }
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()])
  failure ??= errors[0] ?? errors[1]
  if (failure !== undefined && failure !== null) {
    for (const buffer of buffers) {
      buffer.destroy()
    }
    const bytes = descriptors.reduce((sum, { size }) => sum + size, 0)
    throw new SplitComputeError('out_of_memory', `The GPU has no room for ${bytes} more bytes.`, {
      cause: failure,
    })
  }
  return buffers
}
