/** A presigned URL of a shard. */
export interface Signed {
  readonly sha256: string
  readonly url: string
  /** Milliseconds since 1970, by the signer's clock. */
  readonly expires: number
}

export type SignShards = (sha256s: readonly string[]) => Promise<readonly Signed[]>

/** Shards of one request for URLs: as many as may well be downloaded before the URLs expire. */
const GROUP = 8

/** A URL that has lived this share of its time is signed anew, for a download that begins with it may take a while. */
const WORN = 0.8

interface Url {
  readonly url: string
  /** By this device's clock. */
  readonly wornAt: number
}

/**
 * Hands out presigned URLs, asked for in small groups ahead of need: each download would else begin with a round trip,
 * and one request for all of them would let the last ones expire unused.
 */
export class SignedUrls {
  readonly #urls = new Map<string, Url>()
  readonly #asked = new Map<string, Promise<void>>()

  /** @param planned every shard in the order in which it will be downloaded */
  constructor(
    private readonly sign: SignShards,
    private readonly planned: readonly string[],
  ) {}

  /** A URL that is still good, signed before or now. */
  async get(sha256: string): Promise<string | undefined> {
    const known = this.#urls.get(sha256)
    if (known !== undefined && Date.now() < known.wornAt) {
      return known.url
    }
    await (this.#asked.get(sha256) ?? this.#ask(sha256))
    return this.#urls.get(sha256)?.url
  }

  /** Another URL than `refused`, which S3 did not take. */
  async renew(sha256: string, refused: string | undefined): Promise<string | undefined> {
    // Whoever shares the group may have renewed it already.
    if (this.#urls.get(sha256)?.url === refused) {
      this.#urls.clear()
    }
    return this.get(sha256)
  }

  #ask(sha256: string): Promise<void> {
    const at = Math.max(0, this.planned.indexOf(sha256))
    const group = [...new Set([sha256, ...this.planned.slice(at, at + GROUP)])].slice(0, GROUP)
    const asked = this.sign(group)
      .then((signed) => {
        const now = Date.now()
        for (const { sha256, url, expires } of signed) {
          // Clocks differ: one that is ahead of the signer's must not take every URL for expired.
          const lifetime = expires > now ? expires - now : Number.POSITIVE_INFINITY
          this.#urls.set(sha256, { url, wornAt: now + lifetime * WORN })
        }
      })
      .finally(() => {
        for (const key of group) {
          this.#asked.delete(key)
        }
      })
    for (const key of group) {
      this.#asked.set(key, asked)
    }
    return asked
  }
}
