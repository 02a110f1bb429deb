import type { Part, Shard } from '../client/manifest'
import type { Loaded } from '../device'
import { SplitComputeError } from '../errors'
import { downloadParts } from './download'
import { PartBuffers } from './part-buffers'
import type { PartHasher } from './part-hasher'
import { sha256 } from './sha256'
import type { About, KeptLoad, ShardKeeper } from './shard-keeper'
import type { SignedUrls } from './signed-urls'

export interface FetchOptions {
  readonly signal: AbortSignal
  /** Told of bytes as they come; negative where some must come again. */
  readonly onBytes: (bytes: number) => void
  /** Told before the first part where all of them come from the store. */
  readonly onKept?: () => void
  /** Forgets first what is kept: it proved wrong. */
  readonly anew?: boolean
}

/** Takes a part to where it belongs; its bytes are good until the promise settles. */
export type UsePart = (part: Part, bytes: Uint8Array<ArrayBuffer>) => Promise<void>

/** Brings the bytes of shards: those that are kept from there, the others by the network, keeping them as they come. */
export class ShardSource {
  readonly #buffers = new PartBuffers()
  #downloads = 0
  #left: number

  /** @param download most bytes from the network */
  constructor(
    private readonly keeper: ShardKeeper,
    private readonly urls: SignedUrls,
    private readonly hasher: PartHasher,
    download: number,
  ) {
    this.#left = download
  }

  /** Has the download of a shard signed, unless it is kept; a `bring` that comes later finds it under way. */
  async prepare(shard: Shard, signal: AbortSignal): Promise<void> {
    if (shard.bytes <= this.#left && !(await this.keeper.has(shard))) {
      signal.throwIfAborted()
      await this.urls.get(shard.sha256, signal)
    }
  }

  /** Ends what outlives a download. */
  close(): void {
    this.hasher.stop()
  }

  /**
   * Hands out every part in order. What a visit before broke off is resumed at the last part that verifies. A whole shard
   * from the store is not hashed again: whoever uses it proves it, by its canary for instance, and brings it `anew`
   * if it is wrong.
   *
   * @param prove called when every part was handed out; the disk is brought up to date meanwhile
   * @throws SplitComputeError `shard_refused`, `unreachable`, `download_limit`; `invalid_shard` where a kept one has lost bytes
   */
  async bring(
    shard: Shard,
    about: About,
    options: FetchOptions,
    use: UsePart,
    prove: () => Promise<void>,
  ): Promise<Loaded['from']> {
    const { signal, anew } = options
    const kept = await this.keeper.borrow(shard, about, signal, anew)
    const from = kept?.whole ? 'disk' : 'network'
    try {
      if (kept?.whole) {
        await this.#fromStore(kept, shard, about, options, use)
      } else {
        await this.#fromNetwork(kept, shard, about, options, use)
      }
      const proof = prove()
      const finished = this.#finish(kept)
      await Promise.allSettled([proof, finished])
      await proof
      await finished
      return from
    } finally {
      await kept?.release()
    }
  }

  /** Forgets a shard whose bytes proved wrong. */
  forget(shard: Shard, signal: AbortSignal): Promise<void> {
    return this.keeper.forget(shard.sha256, signal)
  }

  async #finish(kept: KeptLoad | undefined): Promise<void> {
    await kept?.finish()
    await kept?.release()
  }

  async #fromStore(
    kept: KeptLoad,
    shard: Shard,
    { unit }: About,
    { signal, onBytes, onKept }: FetchOptions,
    use: UsePart,
  ): Promise<void> {
    onKept?.()
    for (const part of shard.parts) {
      signal.throwIfAborted()
      const bytes = await kept.read(part)
      if (bytes === undefined) {
        throw new SplitComputeError('invalid_shard', `The kept shard of ${unit} has lost bytes.`)
      }
      await use(part, bytes)
      onBytes(part.bytes)
    }
  }

  async #fromNetwork(
    kept: KeptLoad | undefined,
    shard: Shard,
    about: About,
    options: FetchOptions,
    use: UsePart,
  ): Promise<void> {
    const { signal } = options
    let resumed = 0
    for (const part of kept === undefined ? [] : shard.parts) {
      signal.throwIfAborted()
      const bytes = await kept?.read(part)
      if (bytes === undefined || (await sha256(bytes)) !== part.sha256) {
        break
      }
      await use(part, bytes)
      options.onBytes(part.bytes)
      resumed++
    }
    await this.#download(kept, shard, shard.parts.slice(resumed), about, options, use)
  }

  /** Each part goes to the disk as it arrives, where its hash is found wrong or right later, and to where it is used once it is right. */
  async #download(
    kept: KeptLoad | undefined,
    shard: Shard,
    missing: readonly Part[],
    { unit }: About,
    { signal, onBytes }: FetchOptions,
    use: UsePart,
  ): Promise<void> {
    signal.throwIfAborted()
    let owed = missing.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#spend(owed)
    this.#downloads++
    this.hasher.start()
    try {
      const parts = downloadParts(shard, missing, {
        unit,
        signal,
        urls: this.urls,
        buffers: this.#buffers,
        hasher: this.hasher,
        onBytes: (bytes) => {
          // Nothing is given up for a shard of which nothing comes. A failure shows at the first write.
          kept?.reserve().catch(() => undefined)
          onBytes(bytes)
        },
        onArrived: async (part, bytes) => {
          await kept?.write(part, bytes)
        },
        recall: async (part) => await kept?.read(part),
      })
      for await (const { part, bytes } of parts) {
        owed -= part.bytes
        signal.throwIfAborted()
        await use(part, bytes)
      }
      signal.throwIfAborted()
    } finally {
      this.#left += owed
      this.#downloads--
      if (this.#downloads === 0) {
        this.#buffers.clear()
        this.hasher.stop()
      }
    }
  }

  #spend(bytes: number): void {
    if (bytes > this.#left) {
      throw new SplitComputeError(
        'download_limit',
        'The layers that are not kept here exceed what may be downloaded over this connection.',
      )
    }
    this.#left -= bytes
  }
}
