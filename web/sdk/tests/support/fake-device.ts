import type { Device, DeviceOptions, Loaded, Loss, OpenDevice } from '../../src/device'
import type { TailBatch } from '../../src/engine/batch'
import { SplitComputeError } from '../../src/errors'

/** A device without a GPU whose every answer a test decides; by default it loads at once and answers zeros. */
export class FakeDevice implements Device {
  readonly lost: Promise<Loss>
  lose: (loss: Loss) => void = () => undefined
  closed = false

  constructor(
    private readonly behaviour: Behaviour,
    private readonly hiddenSize: number,
  ) {
    this.lost = new Promise((resolve) => {
      this.lose = (loss) => resolve(loss)
    })
  }

  async load(unit: string, onBytes: (bytes: number) => void): Promise<Loaded> {
    await this.behaviour.load?.(unit, onBytes)
    return { from: 'network', milliseconds: { bytes: 0, canary: 0 } }
  }

  async check(unit: string): Promise<void> {
    if (this.behaviour.wrongUnits?.includes(unit)) {
      throw new SplitComputeError('canary_failed', `The canary of ${unit} came out wrong.`)
    }
  }

  async tokenizer(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.behaviour.tokenizer?.()
  }

  async run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]> {
    await this.behaviour.run?.(signal)
    return Array.from(batch.lengths, () => new Float32Array(this.hiddenSize))
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

export interface Behaviour {
  load?: (unit: string, onBytes: (bytes: number) => void) => Promise<void> | void
  tokenizer?: () => Promise<Uint8Array<ArrayBuffer>>
  run?: (signal: AbortSignal) => Promise<void> | void
  wrongUnits?: string[]
}

/** Opens fake devices and remembers them. */
export function fakeDevices(behaviour: Behaviour): {
  open: OpenDevice
  opened: FakeDevice[]
  options: DeviceOptions[]
} {
  const opened: FakeDevice[] = []
  const seen: DeviceOptions[] = []
  const open: OpenDevice = async (options) => {
    const device = new FakeDevice(behaviour, options.manifest.hiddenSize)
    opened.push(device)
    seen.push(options)
    return device
  }
  return { open, opened, options: seen }
}
