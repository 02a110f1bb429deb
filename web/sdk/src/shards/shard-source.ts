import type { Part, Shard } from '../client/manifest'
import type { Loaded } from '../device'
import { SplitComputeError } from '../errors'
import { downloadParts } from './download'
import { PartBuffers } from './part-buffers'
import { sha256 } from './sha256'
import type { About, KeptLoad, ShardKeeper } from './shard-keeper'
import type { SignedUrls } from './signed-urls'

export interface FetchOptions {
  readonly signal: AbortSignal
  /** Told of bytes as they come; negative where some must come again. */
  readonly onBytes: (bytes: number) => void
  /** Told before the first part where all of them come from the store. */
  readonly onKept?: () => void
}

/** Takes a part to where it belongs; its bytes are good until the promise settles. */
export type UsePart = (part: Part, bytes: Uint8Array<ArrayBuffer>) => Promise<void>

/** Brings the bytes of shards: those that are kept from there, the others by the network, keeping them as they come. */
export class ShardSource {
  readonly #buffers = new PartBuffers()
  #left: number

  /** @param download most bytes from the network */
  constructor(
    private readonly keeper: ShardKeeper,
    private readonly urls: SignedUrls,
    download: number,
  ) {
    this.#left = download
  }

  /**
   * Hands out every part in order. What a visit before broke off is resumed at the last part that verifies. A whole shard
   * from the store is not hashed again: whoever uses it proves it, by its canary for instance, and calls `forget`
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
    const kept = await this.keeper.borrow(shard, about, options.signal)
    const from = kept?.whole ? 'disk' : 'network'
    try {
      if (kept?.whole) {
        await this.#fromStore(kept, shard, about, options, use)
      } else {
        await this.#fromNetwork(kept, shard, about, options, use)
      }
      const proof = prove()
      // Awaited below; until then a failure must not count as unhandled.
      proof.catch(() => undefined)
      await kept?.finish()
      kept?.release()
      await proof
      return from
    } finally {
      kept?.release()
    }
  }

  forget(shard: Shard): Promise<void> {
    return this.keeper.forget(shard.sha256)
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
    const { signal, onBytes } = options
    let resumed = 0
    for (const part of kept === undefined ? [] : shard.parts) {
      signal.throwIfAborted()
      const bytes = await kept?.read(part)
      if (bytes === undefined || (await sha256(bytes)) !== part.sha256) {
        break
      }
      await use(part, bytes)
      onBytes(part.bytes)
      resumed++
    }
    const missing = shard.parts.slice(resumed)
    let owed = missing.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#spend(owed)
    const { urls } = this
    const download = { unit: about.unit, urls, buffers: this.#buffers, ...options }
    try {
      for await (const { part, bytes } of downloadParts(shard, missing, download)) {
        owed -= part.bytes
        signal.throwIfAborted()
        await kept?.write(part, bytes)
        await use(part, bytes)
      }
    } finally {
      this.#left += owed
    }
    signal.throwIfAborted()
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
