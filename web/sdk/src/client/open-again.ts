import { backoffMs, sleep } from '../backoff'
import type { Device, DeviceOptions, OpenDevice } from '../device'
import { SplitComputeError } from '../errors'

/** How often a GPU that the browser does not offer is asked for again: while its process starts anew there is none. */
const REOPENINGS = 3

/**
 * Opens a device; one that this browser could have and does not offer is asked for again.
 *
 * @throws SplitComputeError what `open` throws in the end; the signal's reason once it aborts
 */
export async function openAgain(
  open: OpenDevice,
  options: DeviceOptions,
  signal: AbortSignal,
): Promise<Device> {
  for (let failures = 0; ; failures++) {
    try {
      return await open(options, signal)
    } catch (error) {
      const missing = error instanceof SplitComputeError && error.code === 'no_webgpu'
      if (signal.aborted || !missing || !hasWebGpu() || failures >= REOPENINGS) {
        throw error
      }
      await sleep(backoffMs(failures), signal)
    }
  }
}

function hasWebGpu(): boolean {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.gpu !== undefined
}
