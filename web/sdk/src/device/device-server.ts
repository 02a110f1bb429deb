import type { Manifest, Part, Shard } from '../client/manifest'
import { withSignal } from '../client/with-signal'
import type { DeviceSettings, Loaded } from '../device'
import { bindingLimit, requestDevice } from '../engine/gpu'
import { TailEngine } from '../engine/tail-engine'
import type { UnitBuffers } from '../engine/unit-buffers'
import { tokensWithin } from '../engine/workspace'
import { SplitComputeError } from '../errors'
import { PartHasher } from '../shards/part-hasher'
import { readSafetensorsHeader } from '../shards/safetensors'
import { sha256 } from '../shards/sha256'
import { ShardKeeper } from '../shards/shard-keeper'
import { type FetchOptions, ShardSource } from '../shards/shard-source'
import { SignedUrls } from '../shards/signed-urls'
import { openStore } from '../shards/store/open-store'
import { readUnitHeader } from '../shards/unit-layout'
import { type CallContext, Channel, type Port, Transferred } from './channel'
import { PageMemory } from './page-memory'
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
        try {
          const tail = await this.#open(settings)
          this.#tail = tail
          if (this.#closing.signal.aborted) {
            tail.engine.destroy()
          }
        } catch (error) {
          // What was begun beside the GPU ends with it, also where no worker does.
          this.#closing.abort(error)
          throw error
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
    const [gpu, source] = await Promise.all([requestDevice(), this.#source(settings)])
    const engine = new TailEngine(gpu, settings.manifest, settings.dtype, runTokens(settings, gpu), {
      memory: settings.memory,
    })
    gpu.lost.then(({ reason, message }) => {
      if (!this.#closing.signal.aborted) {
        this.#closing.abort(new SplitComputeError('device_lost', message || reason))
        this.#channel.call('lost', message || reason).catch(() => undefined)
      }
    })
    return new Tail(engine, source, settings, this.#closing.signal)
  }

  async #source(settings: DeviceSettings): Promise<ShardSource> {
    const wanted = settings.units.map((unit) => shardOf(settings, unit))
    const { tokenizer } = settings.manifest
    const planned = [...wanted, ...(tokenizer === undefined ? [] : [tokenizer])].map(({ sha256 }) => sha256)
    const warn = (warning: string) => {
      this.#channel.call('warn', warning).catch(() => undefined)
    }
    const memory = new PageMemory(this.#channel, settings.remembered)
    const keeper = new ShardKeeper(await openStore(), memory, new Set(planned), warn)
    const { signal } = this.#closing
    const sign = (sha256s: readonly string[], ended: AbortSignal) =>
      this.#channel.call('sign', sha256s, { signal: AbortSignal.any([signal, ended]) })
    const hasher = new PartHasher({
      start: () => this.#channel.call('startHashes', undefined),
      end: () => {
        this.#channel.call('endHashes', undefined).catch(() => undefined)
      },
    })
    const source = new ShardSource(keeper, new SignedUrls(sign, planned), hasher, settings.download)
    if (signal.aborted) {
      return source
    }
    signal.addEventListener('abort', () => source.close())
    const [first] = wanted
    if (first !== undefined && (globalThis.navigator as Partial<Navigator> | undefined)?.gpu !== undefined) {
      // The load that needs it asks again where it fails.
      source.prepare(first, signal).catch(() => undefined)
    }
    return source
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
  /** Canaries that wait for a layer. */
  readonly #held = new Set<() => void>()
  #hasLayer = false
  #compiling = false

  constructor(
    readonly engine: TailEngine,
    private readonly source: ShardSource,
    private readonly settings: DeviceSettings,
    private readonly closing: AbortSignal,
  ) {
    if (!closing.aborted) {
      const timer = setTimeout(() => this.#compile(), COMPILE_AFTER_MS)
      closing.addEventListener('abort', () => clearTimeout(timer))
    }
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
      return await this.#twice(shard, AbortSignal.any([signal, this.closing]), tell, (options) =>
        this.#loadOnce(unit, shard, options),
      )
    } finally {
      this.#loading.delete(unit)
      this.#letGo()
    }
  }

  async check(unit: string, signal: AbortSignal): Promise<undefined> {
    try {
      await this.engine.check(unit, signal)
    } catch (error) {
      // Any other failure says nothing of the unit, and the page goes on counting with it.
      if (error instanceof SplitComputeError && error.code === 'canary_failed') {
        this.engine.detach(unit)
      }
      throw error
    }
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
    return await this.#twice(shard, signal, tell, async (options) => {
      const bytes = new Uint8Array(shard.bytes)
      const take = async (part: Part, piece: Uint8Array<ArrayBuffer>) => bytes.set(piece, part.offset)
      // No canary vouches for it, and it is small.
      const prove = async () => {
        if ((await sha256(bytes)) !== shard.sha256) {
          throw new SplitComputeError(
            'invalid_shard',
            'The shard of the tokenizer is not what the manifest names.',
          )
        }
      }
      await this.source.bring(shard, about, options, take, prove)
      return tokenizerJson(bytes)
    })
  }

  #compile(): void {
    if (!this.#compiling) {
      this.#compiling = true
      // A kernel that does not compile fails the runs that need it; nobody awaits it here.
      this.engine.compile().catch(() => undefined)
    }
  }

  /** A kept shard that proves wrong is forgotten and downloaded; one that was downloaded is refused. */
  async #twice<T>(
    shard: Shard,
    signal: AbortSignal,
    tell: (bytes: number) => void,
    load: (options: FetchOptions) => Promise<T>,
  ): Promise<T> {
    for (let anew = false; ; anew = true) {
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
        return await load({ signal, onBytes, onKept, anew })
      } catch (error) {
        signal.throwIfAborted()
        if (!isOfBytes(error)) {
          throw error
        }
        if (!kept) {
          await this.source.forget(shard, signal)
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
        signal.throwIfAborted()
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
      try {
        await this.#afterLayer(unit, signal)
        await this.engine.check(unit, signal)
      } catch (error) {
        this.engine.detach(unit)
        throw error
      }
      if (isLayer(unit)) {
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

  /**
   * The units above and below the layers lower no cut by themselves, and the compiling for their canaries would take the cores from the
   * first layer that is on its way.
   */
  async #afterLayer(unit: string, signal: AbortSignal): Promise<void> {
    if (isLayer(unit)) {
      this.#hasLayer = true
      this.#letGo()
      return
    }
    while (!this.#hasLayer && [...this.#loading.keys()].some(isLayer)) {
      const changed = new Promise<void>((resolve) => {
        this.#held.add(resolve)
      })
      await withSignal(changed, signal)
    }
  }

  /** What waits for a layer looks again. */
  #letGo(): void {
    for (const look of this.#held) {
      look()
    }
    this.#held.clear()
  }
}

function isLayer(unit: string): boolean {
  return unit.startsWith('layer.')
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
