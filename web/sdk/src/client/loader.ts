import { backoffMs, sleep } from '../backoff'
import type { Device, OpenDevice } from '../device'
import { SplitComputeError, sentence } from '../errors'
import type { SignShards } from '../shards/signed-urls'
import type { Dtype, Manifest } from './manifest'
import type { Progress, UnitProgress } from './progress'

/** Losses of the GPU after which it is left alone. */
const LOSSES = 3

/** Chunks arrive by the thousand; a page wants to hear of them a few times a second. */
const PROGRESS_INTERVAL_MS = 50

export interface LoaderOptions {
  readonly manifest: Manifest
  readonly dtype: Dtype
  readonly memory: number
  readonly sign: SignShards
  readonly open: OpenDevice
  readonly onProgress: (progress: Progress) => void
}

interface Waiter {
  readonly cut: number
  readonly resolve: () => void
}

/** The order in which units load: from the last layer down, so that each one that arrives lowers the cut. */
export function loadOrder(layers: number): string[] {
  const names = ['final']
  for (let k = layers - 1; k >= 0; k--) {
    names.push(`layer.${k}`)
  }
  return [...names, 'embeddings']
}

/** Brings the tail to the device in the background and keeps the cut. */
export class Loader {
  /** Resolves to the cut when no more units will come; rejects when closed before. */
  readonly ready: Promise<number>
  readonly #options: LoaderOptions
  readonly #closing = new AbortController()
  readonly #order: readonly string[]
  readonly #waiters = new Set<Waiter>()
  #units: UnitProgress[]
  #phase: Progress['phase'] = 'opening'
  #reason: string | undefined
  #device: Device | undefined
  #told = 0
  #settleReady: { resolve: (cut: number) => void; reject: (error: unknown) => void } | undefined

  constructor(options: LoaderOptions) {
    this.#options = options
    this.#order = loadOrder(options.manifest.layers)
    this.#units = this.#waiting()
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject }
    })
    // Nobody has to await it.
    this.ready.catch(() => undefined)
  }

  /** Loads until everything is there or cannot come; to be called once. */
  start(): void {
    this.#run().catch((error: unknown) => this.#stop(error))
  }

  get device(): Device | undefined {
    return this.#device
  }

  get cut(): number {
    const { layers } = this.#options.manifest
    const loaded = (name: string) => this.#units.some((unit) => unit.name === name && unit.state === 'loaded')
    if (this.#device === undefined || !loaded('final')) {
      return layers
    }
    let cut = layers
    while (cut > 0 && loaded(`layer.${cut - 1}`)) {
      cut--
    }
    return cut === 0 && !loaded('embeddings') ? 1 : cut
  }

  get progress(): Progress {
    return {
      phase: this.#phase,
      cut: this.cut,
      loaded: this.#units.reduce((sum, unit) => sum + unit.loaded, 0),
      total: this.#units.reduce((sum, unit) => sum + unit.total, 0),
      units: this.#units,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
    }
  }

  /** Resolves when the cut has come down to `cut`, or will not; rejects with the signal's reason. */
  async reached(cut: number, signal: AbortSignal): Promise<void> {
    if (this.#settled(cut)) {
      return
    }
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const aborted = () => {
        this.#waiters.delete(waiter)
        reject(signal.reason)
      }
      const waiter = {
        cut,
        resolve: () => {
          signal.removeEventListener('abort', aborted)
          resolve()
        },
      }
      this.#waiters.add(waiter)
      signal.addEventListener('abort', aborted, { once: true })
    })
  }

  /** Runs nothing on the device any more: its layers are not the cloud's. */
  giveUp(reason: string): void {
    this.#closing.abort(new SplitComputeError('closed', reason))
    this.#drop()
    this.#stop(reason)
  }

  close(error: SplitComputeError): void {
    this.#closing.abort(error)
    this.#drop()
    this.#settleReady?.reject(error)
    this.#stop(error)
  }

  async #run(): Promise<void> {
    const { manifest, dtype, memory, sign, open } = this.#options
    const { signal } = this.#closing
    for (let losses = 0; losses < LOSSES; losses++) {
      const device = await open({ manifest, dtype, memory, sign, units: this.#order })
      if (signal.aborted) {
        device.close()
        return
      }
      this.#device = device
      this.#phase = 'loading'
      this.#tell()
      const lost = await Promise.race([device.lost, this.#loadAll(device), aborted(signal)])
      const reason = lost ?? (await Promise.race([device.lost, aborted(signal)]))
      if (signal.aborted) {
        return
      }
      this.#drop()
      this.#units = this.#waiting()
      this.#phase = 'opening'
      this.#reason = `The GPU was lost: ${reason}`
      this.#tell()
      await sleep(backoffMs(losses), signal)
    }
    throw new SplitComputeError('device_lost', `The GPU was lost ${LOSSES} times and is left alone.`)
  }

  /** Loads every unit in order. One that cannot come ends it: those below it could not lower the cut. */
  async #loadAll(device: Device): Promise<undefined> {
    const { signal } = this.#closing
    for (const [i, unit] of this.#units.entries()) {
      this.#update(i, { state: 'loading' })
      try {
        await device.load(unit.name, (bytes) => this.#count(i, bytes), signal)
      } catch (error) {
        if (device === this.#device && !signal.aborted) {
          this.#update(i, { state: 'refused' })
          this.#stop(error)
        }
        return
      }
      if (device !== this.#device) {
        return
      }
      this.#update(i, { state: 'loaded' })
    }
    this.#phase = 'ready'
    this.#reason = undefined
    this.#settleReady?.resolve(this.cut)
    this.#tell()
  }

  #waiting(): UnitProgress[] {
    const { manifest, dtype } = this.#options
    return this.#order.map((name) => {
      const total = manifest.units.get(name)?.get(dtype)?.bytes ?? 0
      return { name, state: 'waiting', loaded: 0, total }
    })
  }

  #update(index: number, change: Partial<UnitProgress>): void {
    this.#units = this.#units.map((unit, i) => (i === index ? { ...unit, ...change } : unit))
    this.#tell()
  }

  #count(index: number, bytes: number): void {
    this.#units = this.#units.map((unit, i) =>
      i === index ? { ...unit, loaded: unit.loaded + bytes } : unit,
    )
    if (performance.now() - this.#told >= PROGRESS_INTERVAL_MS) {
      this.#tell()
    }
  }

  #stop(error: unknown): void {
    this.#phase = 'stopped'
    this.#reason = sentence(error)
    this.#settleReady?.resolve(this.cut)
    this.#tell()
  }

  #drop(): void {
    this.#device?.close()
    this.#device = undefined
  }

  #settled(cut: number): boolean {
    return this.cut <= cut || this.#phase === 'stopped'
  }

  #tell(): void {
    this.#told = performance.now()
    for (const waiter of [...this.#waiters]) {
      if (this.#settled(waiter.cut)) {
        this.#waiters.delete(waiter)
        waiter.resolve()
      }
    }
    this.#options.onProgress(this.progress)
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}
