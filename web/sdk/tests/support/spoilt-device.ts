/**
 * Makes a device compile something else than it is given.
 *
 * @param label of the kernels that are changed: the variant's name and its constants
 */
export function spoil(device: GPUDevice, label: RegExp, change: (code: string) => string): void {
  const create = device.createShaderModule.bind(device)
  device.createShaderModule = (descriptor) => {
    if (!label.test(descriptor.label ?? '')) {
      return create(descriptor)
    }
    const code = change(descriptor.code)
    if (code === descriptor.code) {
      throw new Error(`The code of "${descriptor.label}" is as it was.`)
    }
    return create({ ...descriptor, code })
  }
}

/** Makes a device that runs in software pass for a GPU, so that the engine takes a GPU's variants. */
export function passForGpu(device: GPUDevice): void {
  const { subgroupMinSize, subgroupMaxSize } = device.adapterInfo
  const info = { architecture: 'any', isFallbackAdapter: false, subgroupMinSize, subgroupMaxSize }
  Object.defineProperty(device, 'adapterInfo', { value: info })
}
