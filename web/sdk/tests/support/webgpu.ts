import { create, globals } from 'webgpu'
import { requestDevice } from '../../src/engine/gpu'

const devices: GPUDevice[] = []

/** Gives Node the WebGPU of a browser: `navigator.gpu` and the constants. */
export function installWebGpu(): void {
  Object.assign(globalThis, globals)
  const gpu = create([])
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true })
}

/**
 * A device that `destroyDevices` destroys; Dawn keeps the process alive otherwise. With WebGPU's default limits, and with what the engine
 * asks for where the tests run a second time (`vitest.config.ts`).
 */
export async function openDevice(limits = process.env.SPLITCOMPUTE_LIMITS): Promise<GPUDevice> {
  if (limits === 'offered') {
    return openBestDevice()
  }
  const adapter = await navigator.gpu.requestAdapter()
  const device = await adapter?.requestDevice()
  if (device === undefined) {
    throw new Error('Dawn found no adapter.')
  }
  devices.push(device)
  return device
}

/** The device that the engine asks for, with all that the adapter offers. */
export async function openBestDevice(): Promise<GPUDevice> {
  const device = await requestDevice()
  devices.push(device)
  return device
}

export function destroyDevices(): void {
  for (const device of devices.splice(0)) {
    device.destroy()
  }
}
