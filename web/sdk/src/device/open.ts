import { importWorker } from 'virtual:worker'
import type { Device, DeviceOptions, DeviceSettings, Loaded, Loss, OpenDevice } from '../device'
import type { TailBatch } from '../engine/batch'
import { SplitComputeError } from '../errors'
import { Channel, type Port, Transferred } from './channel'
import { HashWorker } from './hash-worker'
import type { DeviceCalls, PageCalls } from './protocol'
import { START_MS, startWorker } from './start-worker'

/** One ping is sent in each of these; so many in a row without an answer, and the worker is dead. */
const PING_MS = 1_000
const PINGS = 5

/** How long a worker may tidy up before it is terminated. */
const CLOSE_MS = 500

/**
 * Opens the GPU of this browser: in a dedicated worker, or on this thread where workers cannot start or have no WebGPU.
 *
 * @throws SplitComputeError `no_webgpu`
 */
export const openDevice: OpenDevice = async (options, signal) => {
  const worker = startWorker('splitcompute', options.workerUrl)
  if (worker !== undefined) {
    const starting = new AbortController()
    try {
      const failure = failureOf(worker, starting.signal)
      return await RemoteDevice.open(worker, () => worker.terminate(), options, signal, {
        failure,
        started: () => starting.abort(),
      })
    } catch (error) {
      starting.abort()
      worker.terminate()
      signal.throwIfAborted()
      if (!mayWorkOnThisThread(error)) {
        throw error
      }
    }
  }
  if (typeof navigator === 'undefined' || !('gpu' in navigator)) {
    throw new SplitComputeError('no_webgpu', 'This browser has no WebGPU.')
  }
  const { serve } = await importWorker()
  const { port1, port2 } = new MessageChannel()
  serve(port2)
  port1.start()
  port2.start()
  return await RemoteDevice.open(port1, () => port1.close(), options, signal, undefined)
}

/** Thrown when a worker's script did not run: the page's policy, an old browser, a wrong `workerUrl`. */
class WorkerStartError extends Error {}

function mayWorkOnThisThread(error: unknown): boolean {
  return (
    error instanceof WorkerStartError || (error instanceof SplitComputeError && error.code === 'no_webgpu')
  )
}

/** Rejects when the worker's script fails to load, throws as it starts or does not answer; stays pending once `started` aborts. */
function failureOf(worker: Worker, started: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const failed = (event: ErrorEvent) => reject(new WorkerStartError(event.message))
    worker.addEventListener('error', failed, { once: true, signal: started })
    const timer = setTimeout(() => reject(new WorkerStartError('it did not answer')), START_MS)
    started.addEventListener('abort', () => clearTimeout(timer), { once: true })
  })
}

/** A worker on its way. */
interface Start {
  readonly failure: Promise<never>
  /** To be called once the worker has answered. */
  readonly started: () => void
}

/** A device at the other end of a channel. */
class RemoteDevice implements Device {
  readonly lost: Promise<Loss>
  readonly #channel: Channel<DeviceCalls, PageCalls>
  readonly #hashes: HashWorker
  #lose: (loss: Loss) => void = () => undefined
  #pings: ReturnType<typeof setInterval> | undefined
  #unanswered = 0

  private constructor(
    port: Port,
    private readonly stop: () => void,
    { sign, onWarning, spare, workerUrl }: DeviceOptions,
  ) {
    this.#hashes = new HashWorker(workerUrl)
    this.lost = new Promise((resolve) => {
      this.#lose = resolve
    })
    this.#channel = new Channel<DeviceCalls, PageCalls>(port, {
      sign: (sha256s, { signal }) => sign(sha256s, signal),
      startHashes: () => {
        const hashes = this.#hashes.start()
        return hashes && (new Transferred(hashes, [hashes]) as unknown as MessagePort)
      },
      endHashes: () => {
        this.#hashes.end()
        return undefined
      },
      lost: (reason) => this.#end({ what: 'gpu', reason }),
      warn: (warning) => {
        onWarning(warning)
        return undefined
      },
      recall: ({ sha256, offset }) => spare.read(sha256, offset),
      remember: ({ sha256, offset, bytes }) => spare.write(sha256, offset, bytes),
      complete: (record) => spare.finish(record),
      forget: (sha256) => {
        spare.delete(sha256)
        return undefined
      },
    })
  }

  static async open(
    port: Port,
    stop: () => void,
    options: DeviceOptions,
    signal: AbortSignal,
    start: Start | undefined,
  ): Promise<Device> {
    const device = new RemoteDevice(port, stop, options)
    try {
      const answered = device.#channel.call('ping', undefined, { signal })
      if (start === undefined) {
        await answered
      } else {
        await Promise.race([answered, start.failure])
        start.started()
        device.#watch()
      }
      const { manifest, revision, dtype, memory, download, units, spare } = options
      const remembered = spare.list().map(({ sha256 }) => sha256)
      const settings: DeviceSettings = { manifest, revision, dtype, memory, download, units, remembered }
      await device.#channel.call('open', settings, { signal })
    } catch (error) {
      if (start === undefined) {
        // This thread cannot be ended with what was begun on it: that must be told to end.
        await device.close()
      } else {
        device.#shut(error)
      }
      throw error
    }
    return device
  }

  load(unit: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<Loaded> {
    return this.#channel.call('load', unit, { signal, onCount: onBytes })
  }

  async check(unit: string, signal: AbortSignal): Promise<void> {
    await this.#channel.call('check', unit, { signal })
  }

  tokenizer(signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#channel.call('tokenizer', undefined, { signal })
  }

  run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]> {
    return this.#channel.call('run', batch, { signal })
  }

  async close(): Promise<void> {
    clearInterval(this.#pings)
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MS)
    })
    const tidy = this.#channel.call('close', undefined).catch(() => undefined)
    await Promise.race([tidy, late])
    clearTimeout(timer)
    this.#shut(new SplitComputeError('device_lost', 'The device was closed.'))
    this.stop()
  }

  /** Pings while the page is visible: in a hidden one timers and workers may rest for minutes. */
  #watch(): void {
    this.#pings = setInterval(() => {
      // An SDK that itself runs in a worker has no document.
      if (globalThis.document?.visibilityState === 'hidden') {
        this.#unanswered = 0
        return
      }
      if (this.#unanswered >= PINGS) {
        this.#end({ what: 'worker', reason: `Its worker did not answer for ${(PINGS * PING_MS) / 1_000} s.` })
        return
      }
      this.#unanswered++
      this.#channel.call('ping', undefined).then(
        () => {
          this.#unanswered = 0
        },
        () => undefined,
      )
    }, PING_MS)
  }

  #end(loss: Loss): undefined {
    this.#shut(new SplitComputeError('device_lost', loss.reason))
    this.stop()
    this.#lose(loss)
    return undefined
  }

  /** Nothing is sent or heard any more. */
  #shut(error: unknown): void {
    clearInterval(this.#pings)
    this.#channel.close(error)
    this.#hashes.end()
  }
}
