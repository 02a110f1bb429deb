import { backoffMs, sleep } from '../backoff'
import type { Device, DeviceOptions, Loss, OpenDevice } from '../device'
import { SplitComputeError, sentence } from '../errors'
import { online } from './online'
import { openAgain } from './open-again'
import type { Progress, UnitProgress } from './progress'
import { Units } from './units'

/** Losses after which a GPU, or a worker that dies again and again, is left alone; those of long ago are forgiven. */
const LOSSES: Readonly<Record<Loss['what'], number>> = { gpu: 3, worker: 10 }
const FORGIVEN_MS = 600_000

/** Units on their way at once: one connection would wait for hashes and disk, more would delay the one that is next. */
const IN_FLIGHT = 4

/** Nothing is opened, compiled or loaded before the first answer is here or this much time has passed. */
const HEAD_START_MS = 300

/** Chunks arrive by the thousand; a page wants to hear of them a few times a second. */
const PROGRESS_INTERVAL_MS = 50

export interface LoaderOptions extends Omit<DeviceOptions, 'units' | 'onWarning'> {
  readonly open: OpenDevice
  readonly onProgress: () => void
}

interface Waiter {
  readonly cut: number
  readonly resolve: () => void
}

interface Failure {
  readonly index: number
  readonly error: unknown
}

/** Brings the tail to the device in the background and keeps the cut. */
export class Loader {
  /** Resolves to the cut when no more units will come; rejects when closed before. */
  readonly ready: Promise<number>
  readonly #options: LoaderOptions
  readonly #closing = new AbortController()
  readonly #units: Units
  readonly #waiters = new Set<Waiter>()
  #phase: Progress['phase'] = 'opening'
  #reason: string | undefined
  #warning: string | undefined
  #device: Device | undefined
  #losses: { readonly what: Loss['what']; readonly at: number }[] = []
  #wrongResults = 0
  /** Bytes of units that came from the network, on all devices so far. */
  #downloaded = 0
  #checking: Promise<void> | undefined
  /** When a canary last ended. */
  #proved = Number.NEGATIVE_INFINITY
  #told = 0
  #settleReady: { resolve: (cut: number) => void; reject: (error: unknown) => void } | undefined
  #begin: () => void = () => undefined

  constructor(options: LoaderOptions) {
    this.#options = options
    this.#units = new Units(options.manifest, options.dtype)
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject }
    })
    // Nobody has to await it.
    this.ready.catch(() => undefined)
  }

  /** Loads until everything is there or cannot come; to be called once. */
  start(): void {
    const begun = new Promise<void>((resolve) => {
      this.#begin = resolve
    })
    const timer = setTimeout(this.#begin, HEAD_START_MS)
    this.#closing.signal.addEventListener('abort', () => clearTimeout(timer))
    begun
      .then(() => this.#run())
      .catch((error: unknown) => this.#stop(error))
      .finally(() => this.#options.spare.clear())
  }

  /** The first answer is here: what loads from here on does not delay it. */
  begin(): void {
    this.#begin()
  }

  get device(): Device | undefined {
    return this.#device
  }

  get cut(): number {
    return this.#device === undefined ? this.#options.manifest.layers : this.#units.cut
  }

  get progress(): Progress {
    const units = this.#units.all
    return {
      phase: this.#phase,
      cut: this.cut,
      loaded: units.reduce((sum, { loaded }) => sum + loaded, 0),
      total: units.reduce((sum, { total }) => sum + total, 0),
      units,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(this.#warning === undefined ? {} : { warning: this.#warning }),
    }
  }

  /** Whether canaries had turns on the device since then (by `performance.now()`): what runs there waits for them. */
  provedSince(time: number): boolean {
    return this.#proved >= time || this.#checking !== undefined || this.#units.proving
  }

  /** Resolves when the cut has come down to `cut`, or will not; rejects with the signal's reason. */
  async reached(cut: number, signal: AbortSignal): Promise<void> {
    if (this.#settled(cut)) {
      return
    }
    this.begin()
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

  /** A result was not finite: the units that the device computes wrongly are found by their canaries and refused. */
  async foundWrong(): Promise<void> {
    this.#wrongResults++
    if (this.#wrongResults >= LOSSES.gpu) {
      await this.giveUp('The GPU computed wrong values again and again.')
      return
    }
    await this.recheck()
  }

  /** Of a result a part was not finite, which may be the inputs' own doing: what the canaries pass stays. */
  async recheck(): Promise<void> {
    this.#checking ??= this.#checkAll().finally(() => {
      this.#checking = undefined
      this.#proved = performance.now()
    })
    await this.#checking
  }

  foundRight(): void {
    this.#wrongResults = 0
  }

  /** Runs nothing on the device any more. */
  async giveUp(reason: string): Promise<void> {
    this.#closing.abort(new SplitComputeError('closed', reason))
    const dropped = this.#drop()
    this.#stop(reason)
    await dropped
  }

  async close(error: SplitComputeError): Promise<void> {
    this.#closing.abort(error)
    const dropped = this.#drop()
    this.#settleReady?.reject(error)
    this.#stop(error)
    await dropped
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      const loss = await this.#serve()
      if (signal.aborted) {
        return
      }
      const now = Date.now()
      this.#losses = [...this.#losses.filter(({ at }) => now - at < FORGIVEN_MS), { ...loss, at: now }]
      this.#drop()
      this.#units.reset()
      const count = this.#losses.filter(({ what }) => what === loss.what).length
      if (count >= LOSSES[loss.what]) {
        throw new SplitComputeError('device_lost', `The GPU was lost ${count} times and is left alone.`)
      }
      this.#phase = 'opening'
      this.#reason = `The GPU was lost: ${loss.reason}`
      this.#tell()
      await sleep(backoffMs(count - 1), signal)
    }
  }

  /** Opens a device and loads it; resolves when it is lost, or when this loader closes. */
  async #serve(): Promise<Loss> {
    const { open, onProgress: _, ...settings } = this.#options
    const { signal } = this.#closing
    const onWarning = (warning: string) => {
      this.#warning = warning
      this.#tell()
    }
    let device: Device
    try {
      const download = Math.max(0, settings.download - this.#downloaded)
      const options = { ...settings, download, units: this.#units.order, onWarning }
      device = await openAgain(open, options, signal)
    } catch (error) {
      const died = error instanceof SplitComputeError && error.code === 'device_lost'
      // A GPU that was there comes back, if not at once.
      if (signal.aborted || !(died || this.#losses.length > 0)) {
        throw error
      }
      return { what: died ? 'worker' : 'gpu', reason: sentence(error) }
    }
    if (signal.aborted) {
      device.close()
      return { what: 'gpu', reason: 'closed' }
    }
    this.#device = device
    this.#phase = 'loading'
    this.#reason = undefined
    this.#tell()
    this.#loadAll(device).catch((error: unknown) => this.#stop(error))
    return await new Promise<Loss>((resolve) => {
      device.lost.then(resolve)
      signal.addEventListener('abort', () => resolve({ what: 'gpu', reason: 'closed' }), { once: true })
    })
  }

  /** Loads every unit. A network that does not answer is waited for; whatever else a unit lacks ends the loading there. */
  async #loadAll(device: Device): Promise<void> {
    const { signal } = this.#closing
    for (;;) {
      const failure = await this.#loadMissing(device)
      if (device !== this.#device || signal.aborted) {
        return
      }
      if (failure === undefined) {
        // A unit that a check refused meanwhile has ended the loading already.
        if (this.#units.whole) {
          this.#phase = 'ready'
          this.#reason = undefined
          this.#settleReady?.resolve(this.cut)
          this.#tell()
        }
        return
      }
      this.#stop(failure)
      if (!(failure instanceof SplitComputeError) || failure.code !== 'unreachable') {
        return
      }
      await online(signal)
      if (device !== this.#device) {
        return
      }
      this.#phase = 'loading'
      this.#tell()
    }
  }

  /** Several units at once, begun in order. One that cannot come ends those below it: they could not lower the cut. */
  async #loadMissing(device: Device): Promise<unknown> {
    const queue = [...this.#units.all.entries()].filter(([, { state }]) => state !== 'loaded').map(([i]) => i)
    const loading = new Map<number, AbortController>()
    const failures: Failure[] = []
    const loadInTurn = async () => {
      for (let i = queue.shift(); i !== undefined && failures.length === 0; i = queue.shift()) {
        const controller = new AbortController()
        loading.set(i, controller)
        try {
          await this.#loadUnit(device, i, controller)
        } catch (error) {
          failures.push({ index: i, error })
          for (const [j, below] of loading) {
            if (j > i) {
              below.abort(new SplitComputeError('closed', 'A layer above did not come.'))
            }
          }
        }
        loading.delete(i)
      }
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, loadInTurn))
    failures.sort((a, b) => a.index - b.index)
    return failures[0]?.error
  }

  async #loadUnit(device: Device, i: number, controller: AbortController): Promise<void> {
    const { signal } = this.#closing
    const name = this.#units.order[i] ?? ''
    const aborted = () => controller.abort(signal.reason)
    signal.addEventListener('abort', aborted)
    this.#update(i, { state: 'loading', loaded: 0 })
    try {
      const { from, milliseconds } = await device.load(
        name,
        (bytes) => this.#count(i, bytes),
        controller.signal,
      )
      if (device === this.#device) {
        this.#update(i, { state: 'loaded', from, milliseconds })
        this.#downloaded += from === 'network' ? (this.#units.all[i]?.total ?? 0) : 0
      }
    } catch (error) {
      if (device === this.#device && !signal.aborted) {
        this.#update(i, { state: isOfUnit(error) ? 'refused' : 'waiting', loaded: 0 })
      }
      throw error
    } finally {
      this.#proved = performance.now()
      signal.removeEventListener('abort', aborted)
    }
  }

  async #checkAll(): Promise<void> {
    const device = this.#device
    for (const [i, { name, state }] of this.#units.all.entries()) {
      if (state === 'loaded' && device !== undefined && device === this.#device) {
        try {
          await device.check(name, this.#closing.signal)
        } catch (error) {
          if (device === this.#device && isOfUnit(error)) {
            this.#update(i, { state: 'refused', loaded: 0 })
            this.#stop(error)
          }
        }
      }
    }
  }

  #update(index: number, change: Partial<UnitProgress>): void {
    this.#units.update(index, change)
    this.#tell()
  }

  #count(index: number, bytes: number): void {
    this.#units.count(index, bytes)
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

  async #drop(): Promise<void> {
    const device = this.#device
    this.#device = undefined
    await device?.close()
  }

  #settled(cut: number): boolean {
    return this.cut <= cut || this.#phase === 'stopped' || this.#phase === 'ready'
  }

  #tell(): void {
    this.#told = performance.now()
    for (const waiter of [...this.#waiters]) {
      if (this.#settled(waiter.cut)) {
        this.#waiters.delete(waiter)
        waiter.resolve()
      }
    }
    this.#options.onProgress()
  }
}

/** Errors that are the unit's own: its bytes, or what this GPU makes of them. */
function isOfUnit(error: unknown): boolean {
  const codes: readonly string[] = ['shard_refused', 'invalid_shard', 'canary_failed', 'limit_exceeded']
  return error instanceof SplitComputeError && codes.includes(error.code)
}
