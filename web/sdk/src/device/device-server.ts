import type { Manifest, Part, Shard } from '../client/manifest'
import type { DeviceSettings, Loaded } from '../device'
import { bindingLimit, requestDevice } from '../engine/gpu'
import { TailEngine } from '../engine/tail-engine'
import type { UnitBuffers } from '../engine/unit-buffers'
import { tokensWithin } from '../engine/workspace'
import { SplitComputeError } from '../errors'
import { readSafetensorsHeader } from '../shards/safetensors'
import { sha256 } from '../shards/sha256'
import { ShardKeeper } from '../shards/shard-keeper'
import { type FetchOptions, ShardSource } from '../shards/shard-source'
import { SignedUrls } from '../shards/signed-urls'
import { openStore } from '../shards/store/open-store'
import { readUnitHeader } from '../shards/unit-layout'
import { type CallContext, Channel, type Port, Transferred } from './channel'
import type { DeviceCalls, PageCalls } from './protocol'

/** Waits for the page's first order, then has the GPU. */
export class DeviceServer {
  readonly #channel: Channel<PageCalls, DeviceCalls>
  readonly #closing = new AbortController()
  #tail: Tail | undefined

  constructor(port: Port) {
    this.#channel = new Channel<PageCalls, DeviceCalls>(port, {
      ping: () => undefined,
      open: async (settings) => {
        const tail = await this.#open(settings)
        this.#tail = tail
        if (this.#closing.signal.aborted) {
          tail.engine.destroy()
        }
        return undefined
      },
      load: (unit, context) => this.#opened().load(unit, context),
      check: (unit, { signal }) => this.#opened().check(unit, signal),
      tokenizer: (_, context) => this.#opened().tokenizer(context),
      run: async (batch, { signal }) => {
        const results = await this.#opened().engine.run(batch, signal)
        // The channel sends what it finds inside; the type of the call is that of the value.
        return new Transferred(
          results,
          results.map(({ buffer }) => buffer),
        ) as unknown as Float32Array[]
      },
      close: () => {
        this.#closing.abort(new SplitComputeError('closed', 'The device was closed.'))
        this.#tail?.engine.destroy()
        return undefined
      },
    })
  }

  async #open(settings: DeviceSettings): Promise<Tail> {
    const gpu = await requestDevice()
    const engine = new TailEngine(gpu, settings.manifest, settings.dtype, runTokens(settings, gpu), {
      memory: settings.memory,
    })
    gpu.lost.then(({ reason, message }) => {
      if (!this.#closing.signal.aborted) {
        this.#closing.abort(new SplitComputeError('device_lost', message || reason))
        this.#channel.call('lost', message || reason).catch(() => undefined)
      }
    })
    const wanted = settings.units.map((unit) => shardOf(settings, unit).sha256)
    const { tokenizer } = settings.manifest
    const planned = tokenizer === undefined ? wanted : [...wanted, tokenizer.sha256]
    const warn = (warning: string) => {
      this.#channel.call('warn', warning).catch(() => undefined)
    }
    const keeper = new ShardKeeper(await openStore(), new Set(planned), warn)
    const { signal } = this.#closing
    const sign = (sha256s: readonly string[]) => this.#channel.call('sign', sha256s, { signal })
    const source = new ShardSource(keeper, new SignedUrls(sign, planned), settings.download)
    return new Tail(engine, source, settings, signal)
  }

  #opened(): Tail {
    if (this.#tail === undefined) {
      throw new SplitComputeError('device_lost', 'The device is not open.')
    }
    return this.#tail
  }
}

/**
 * Compiling takes every core for a while. A first unit that is here by then was on the disk or near, and would have been
 * delayed by it; a slower network leaves the cores idle.
 */
const COMPILE_AFTER_MS = 500

/** The engine, and the shards on their way to it. */
class Tail {
  /** Bytes of the units that are being loaded; the engine counts them once they are attached. */
  readonly #loading = new Map<string, number>()
  #compiling = false

  constructor(
    readonly engine: TailEngine,
    private readonly source: ShardSource,
    private readonly settings: DeviceSettings,
    private readonly closing: AbortSignal,
  ) {
    const timer = setTimeout(() => this.#compile(), COMPILE_AFTER_MS)
    closing.addEventListener('abort', () => clearTimeout(timer))
  }

  async load(unit: string, { signal, tell }: CallContext): Promise<Loaded> {
    const { memory } = this.settings
    const shard = shardOf(this.settings, unit)
    const used = [...this.#loading.values()].reduce((sum, bytes) => sum + bytes, this.engine.bytes)
    if (used + shard.bytes > memory) {
      throw new SplitComputeError(
        'out_of_memory',
        `${unit} and the ${used} bytes in use exceed the memory of ${memory} bytes.`,
      )
    }
    try {
      return await this.#loadTwice(unit, shard, AbortSignal.any([signal, this.closing]), tell)
    } finally {
      this.#loading.delete(unit)
    }
  }

  async check(unit: string, signal: AbortSignal): Promise<undefined> {
    await this.#check(unit, signal)
    return undefined
  }

  /** @throws SplitComputeError `shard_refused`, `invalid_shard`, `unreachable` */
  async tokenizer({ signal: asked, tell }: CallContext): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const shard = this.settings.manifest.tokenizer
    if (shard === undefined) {
      return undefined
    }
    const signal = AbortSignal.any([asked, this.closing])
    const { model } = this.settings.manifest
    const about = { model, unit: 'tokenizer', dtype: '' }
    for (let again = false; ; again = true) {
      const bytes = new Uint8Array(shard.bytes)
      let right = false
      await this.source.bring(
        shard,
        about,
        { signal, onBytes: tell },
        async (part, piece) => {
          bytes.set(piece, part.offset)
        },
        // No canary vouches for it, and it is small.
        async () => {
          right = (await sha256(bytes)) === shard.sha256
        },
      )
      if (right) {
        return tokenizerJson(bytes)
      }
      await this.source.forget(shard)
      if (again) {
        throw new SplitComputeError(
          'shard_refused',
          'The shard of the tokenizer is not what the manifest names.',
        )
      }
    }
  }

  #compile(): void {
    if (!this.#compiling) {
      this.#compiling = true
      // A kernel that does not compile fails the runs that need it; nobody awaits it here.
      this.engine.compile().catch(() => undefined)
    }
  }

  /** A kept shard that proves wrong is forgotten and downloaded; one that was downloaded is refused. */
  async #loadTwice(
    unit: string,
    shard: Shard,
    signal: AbortSignal,
    tell: (bytes: number) => void,
  ): Promise<Loaded> {
    for (;;) {
      let told = 0
      let kept = false
      const onBytes = (bytes: number) => {
        told += bytes
        tell(bytes)
      }
      const onKept = () => {
        kept = true
      }
      try {
        return await this.#loadOnce(unit, shard, { signal, onBytes, onKept })
      } catch (error) {
        signal.throwIfAborted()
        if (!isOfBytes(error)) {
          throw error
        }
        await this.source.forget(shard)
        if (!kept) {
          throw error
        }
        tell(-told)
      }
    }
  }

  async #loadOnce(unit: string, shard: Shard, options: FetchOptions): Promise<Loaded> {
    const { manifest, dtype } = this.settings
    const { signal } = options
    let buffers: UnitBuffers | undefined
    let dataOffset = 0
    const start = performance.now()
    let attached = start
    this.#loading.set(unit, shard.bytes)
    const about = { model: manifest.model, unit, dtype }
    const write = async (part: Part, bytes: Uint8Array<ArrayBuffer>) => {
      if (buffers === undefined) {
        const header = readUnitHeader(bytes, shard.bytes, manifest, unit, dtype)
        buffers = await this.engine.allocate(unit, header.tensors, header.dataBytes)
        dataOffset = header.dataOffset
      }
      const begin = Math.max(part.offset, dataOffset)
      buffers.write(begin - dataOffset, bytes.subarray(begin - part.offset))
    }
    const prove = async () => {
      signal.throwIfAborted()
      if (buffers === undefined) {
        throw new SplitComputeError('invalid_manifest', `The shard of ${unit} has no parts.`)
      }
      this.engine.attach(unit, buffers)
      this.#loading.delete(unit)
      // From here on they are the engine's.
      buffers = undefined
      attached = performance.now()
      await this.#check(unit, signal)
      if (unit.startsWith('layer.')) {
        this.#compile()
      }
    }
    try {
      const from = await this.source.bring(shard, about, options, write, prove)
      return { from, milliseconds: { bytes: attached - start, canary: performance.now() - attached } }
    } finally {
      buffers?.destroy()
    }
  }

  /** A unit that fails its canary is off the device at once. */
  async #check(unit: string, signal: AbortSignal): Promise<void> {
    try {
      await this.engine.check(unit, signal)
    } catch (error) {
      this.engine.detach(unit)
      throw error
    }
  }
}

/** Errors that the bytes of a shard cause. */
function isOfBytes(error: unknown): boolean {
  return (
    error instanceof SplitComputeError && (error.code === 'invalid_shard' || error.code === 'canary_failed')
  )
}

function shardOf({ manifest, dtype }: { manifest: Manifest; dtype: string }, unit: string): Shard {
  const shard = manifest.units.get(unit)?.get(dtype)
  if (shard === undefined) {
    throw new SplitComputeError('invalid_manifest', `The manifest has no ${unit} in ${dtype}.`)
  }
  return shard
}

function tokenizerJson(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const subject = 'The shard of the tokenizer'
  const { tensors, dataOffset } = readSafetensorsHeader(bytes, bytes.byteLength, 'invalid_shard', subject)
  const tensor = tensors.find(({ name }) => name === 'tokenizer.json')
  if (tensor?.dtype !== 'U8') {
    throw new SplitComputeError('invalid_shard', `${subject} has no "tokenizer.json".`)
  }
  const begin = dataOffset + tensor.offset
  return bytes.slice(begin, begin + tensor.bytes)
}

/** The workspace has room for the longest input; for more it takes what the units leave, and at most a quarter of the memory. */
function runTokens(settings: DeviceSettings, gpu: GPUDevice): number {
  const { manifest, memory, units } = settings
  const left = memory - units.reduce((sum, unit) => sum + shardOf(settings, unit).bytes, 0)
  return Math.max(manifest.maxTokens, tokensWithin(manifest, Math.min(left, memory / 4), bindingLimit(gpu)))
}
