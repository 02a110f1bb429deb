import type { Dtype, Manifest, Shard } from './client/manifest'
import type { TailBatch } from './engine/batch'
import { requestDevice } from './engine/gpu'
import { TailEngine } from './engine/tail-engine'
import type { UnitBuffers } from './engine/unit-buffers'
import { MOST_TOKENS, tokensWithin } from './engine/workspace'
import { SplitComputeError } from './errors'
import { downloadParts } from './shards/download'
import { SignedUrls, type SignShards } from './shards/signed-urls'
import { readUnitHeader } from './shards/unit-layout'

/** Where the tail runs. Everything crosses this interface as messages, so that it can be served by a worker. */
export interface Device {
  /**
   * Downloads, verifies and uploads one unit; runs find it from then on.
   *
   * @param onBytes told of bytes as they arrive; negative where some must be fetched again
   * @throws SplitComputeError `shard_refused`, `invalid_shard`, `unreachable`, `out_of_memory`, `limit_exceeded`
   */
  load(unit: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void>

  /**
   * @returns for each sequence its vector `[hiddenSize]`, or without pooling its rows `[tokens, hiddenSize]`
   * @throws SplitComputeError `device_lost`, `out_of_memory`, `wrong_result`
   */
  run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]>

  /** Resolves to the reason when the GPU is lost other than by `close`. */
  readonly lost: Promise<string>

  close(): void
}

export interface DeviceOptions {
  readonly manifest: Manifest
  readonly dtype: Dtype
  /** Bytes of GPU memory for weights and workspace. */
  readonly memory: number
  /** Every unit in the order in which it will be loaded. */
  readonly units: readonly string[]
  readonly sign: SignShards
}

export type OpenDevice = (options: DeviceOptions) => Promise<Device>

/**
 * Opens the GPU of this browser.
 *
 * @throws SplitComputeError `no_webgpu`
 */
export const openDevice: OpenDevice = async (options) => {
  const gpu = await requestDevice()
  const engine = new TailEngine(gpu, options.manifest, options.dtype, runTokens(options))
  const lost = gpu.lost.then(
    ({ reason, message }) => message || reason,
    (error: unknown) => String(error),
  )
  // A kernel that does not compile fails the runs that need it; nobody awaits it here.
  engine.compile().catch(() => undefined)
  return new LocalDevice(engine, lost, options)
}

/** GPU memory that the tail may take where the page does not say. */
export function defaultMemory(): number {
  const { deviceMemory, userAgent } = (globalThis.navigator ?? {}) as {
    deviceMemory?: number
    userAgent?: string
  }
  if (/Mobi|Android/.test(userAgent ?? '')) {
    return 512 * 1024 ** 2
  }
  return deviceMemory === undefined ? 2 * 1024 ** 3 : (deviceMemory / 4) * 1024 ** 3
}

/** A workspace takes at most a quarter of the memory, but always has room for the longest input. */
function runTokens({ manifest, memory }: DeviceOptions): number {
  return Math.max(manifest.maxTokens, tokensWithin(manifest, memory / 4, MOST_TOKENS))
}

/** The engine and the download of shards on this thread. */
class LocalDevice implements Device {
  readonly lost: Promise<string>
  readonly #urls: SignedUrls
  readonly #closing = new AbortController()

  constructor(
    private readonly engine: TailEngine,
    lost: Promise<string>,
    private readonly options: DeviceOptions,
  ) {
    this.lost = new Promise((resolve) => {
      lost.then((reason) => this.#closing.signal.aborted || resolve(reason))
    })
    this.#urls = new SignedUrls(
      options.sign,
      options.units.map((unit) => this.#shard(unit).sha256),
    )
  }

  async load(unit: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    const { engine } = this
    const { memory } = this.options
    const shard = this.#shard(unit)
    if (engine.bytes + shard.bytes > memory) {
      throw new SplitComputeError(
        'out_of_memory',
        `${unit} and the ${engine.bytes} bytes in use exceed the memory of ${memory} bytes.`,
      )
    }
    let buffers: UnitBuffers | undefined
    try {
      buffers = await this.#download(shard, unit, onBytes, signal)
      signal.throwIfAborted()
      this.#closing.signal.throwIfAborted()
    } catch (error) {
      buffers?.destroy()
      throw error
    }
    engine.attach(unit, buffers)
  }

  run(batch: TailBatch, signal: AbortSignal): Promise<Float32Array[]> {
    return this.engine.run(batch, signal)
  }

  close(): void {
    this.#closing.abort(new SplitComputeError('closed', 'The device was closed.'))
    this.engine.destroy()
  }

  async #download(
    shard: Shard,
    unit: string,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<UnitBuffers> {
    const { manifest, dtype } = this.options
    let buffers: UnitBuffers | undefined
    let dataOffset = 0
    try {
      for await (const { part, bytes } of downloadParts(shard, { unit, urls: this.#urls, signal, onBytes })) {
        if (buffers === undefined) {
          const header = readUnitHeader(bytes, shard.bytes, manifest, unit, dtype)
          buffers = await this.engine.allocate(unit, header.tensors, header.dataBytes)
          dataOffset = header.dataOffset
        }
        const begin = Math.max(part.offset, dataOffset)
        buffers.write(begin - dataOffset, bytes.subarray(begin - part.offset))
      }
    } catch (error) {
      buffers?.destroy()
      throw error
    }
    if (buffers === undefined) {
      throw new SplitComputeError('invalid_manifest', `The shard of ${unit} has no parts.`)
    }
    return buffers
  }

  #shard(unit: string): Shard {
    const shard = this.options.manifest.units.get(unit)?.get(this.options.dtype)
    if (shard === undefined) {
      throw new SplitComputeError('invalid_manifest', `The manifest has no ${unit} in ${this.options.dtype}.`)
    }
    return shard
  }
}
