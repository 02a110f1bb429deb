import type { Part } from '../client/manifest'
import type { ShardRecord, Shelf, StoredShard } from '../shards/store/store'
import type { Channel } from './channel'
import type { DeviceCalls, PageCalls } from './protocol'

type Page = Pick<Channel<PageCalls, DeviceCalls>, 'call'>

/** The page's `MemoryStore` from the thread that has the GPU, which it outlives. */
export class PageMemory implements Shelf {
  /** What was put there, and whether it was whole then: the page may have cleared it since. */
  readonly #kept: Map<string, boolean>

  /** @param whole shards that were kept there before this thread began */
  constructor(
    private readonly page: Page,
    whole: readonly string[],
  ) {
    this.#kept = new Map(whole.map((sha256) => [sha256, true]))
  }

  async has(sha256: string): Promise<boolean> {
    return this.#kept.get(sha256) ?? false
  }

  async open(sha256: string): Promise<StoredShard> {
    return new RememberedShard(this.page, sha256, this.#kept)
  }

  async delete(sha256: string): Promise<void> {
    if (this.#kept.delete(sha256)) {
      await this.page.call('forget', sha256)
    }
  }
}

class RememberedShard implements StoredShard {
  readonly whole: boolean
  readonly size = undefined

  constructor(
    private readonly page: Page,
    private readonly sha256: string,
    private readonly kept: Map<string, boolean>,
  ) {
    this.whole = kept.get(sha256) ?? false
  }

  read({ offset }: Part): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.page.call('recall', { sha256: this.sha256, offset })
  }

  async reserve(): Promise<void> {}

  async write({ offset }: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const copy = bytes.slice()
    const argument = { sha256: this.sha256, offset, bytes: copy }
    this.kept.set(this.sha256, false)
    if (!(await this.page.call('remember', argument, { transfer: [copy.buffer] }))) {
      throw new DOMException('The page has no memory for more shards.', 'QuotaExceededError')
    }
  }

  async finish(record: ShardRecord, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const whole = await this.page.call('complete', record)
    if (whole) {
      this.kept.set(record.sha256, true)
    } else {
      // The page was cleared meanwhile: what has come since is half a shard that nobody lists.
      this.kept.delete(record.sha256)
      await this.page.call('forget', record.sha256)
    }
  }

  close(): void {}
}
