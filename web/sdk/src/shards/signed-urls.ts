/** Presigned URLs for shards, by their SHA-256. */
export type SignShards = (
  sha256s: readonly string[],
  signal: AbortSignal,
) => Promise<ReadonlyMap<string, string>>

/** Most shards of one request for URLs. */
const GROUP = 16

/**
 * Hands out presigned URLs, asked for in small groups ahead of need: each download would else begin with a round trip,
 * and one request for all of them would let the last ones expire unused.
 */
export class SignedUrls {
  readonly #urls = new Map<string, string>()

  /** @param planned every shard in the order in which it will be downloaded */
  constructor(
    private readonly sign: SignShards,
    private readonly planned: readonly string[],
  ) {}

  /** A URL that was signed before or is signed now. */
  async get(sha256: string, signal: AbortSignal): Promise<string | undefined> {
    if (!this.#urls.has(sha256)) {
      const at = Math.max(0, this.planned.indexOf(sha256))
      const group = new Set([sha256, ...this.planned.slice(at, at + GROUP)])
      const urls = await this.sign([...group].slice(0, GROUP), signal)
      for (const [key, url] of urls) {
        this.#urls.set(key, url)
      }
    }
    return this.#urls.get(sha256)
  }

  /** A URL that is signed now, because the one before was refused. */
  async renew(sha256: string, signal: AbortSignal): Promise<string | undefined> {
    // The others of the group were signed with it, so they are as old.
    this.#urls.clear()
    return this.get(sha256, signal)
  }
}
