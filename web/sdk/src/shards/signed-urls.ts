import { withSignal } from '../client/with-signal'
import { SplitComputeError } from '../errors'

/** A presigned URL of a shard. */
export interface Signed {
  readonly sha256: string
  readonly url: string
  /** Milliseconds since 1970, by the signer's clock. */
  readonly expires: number
}

export type SignShards = (sha256s: readonly string[], signal: AbortSignal) => Promise<readonly Signed[]>

/** An API that has not signed by then is out of reach: it is asked again and again meanwhile. */
const SIGN_MS = 15_000

/** Shards of one request for URLs: as many as may well be downloaded before the URLs expire. */
const GROUP = 8

/** A URL that has lived this share of its time is signed anew, for a download that begins with it may take a while. */
const WORN = 0.8

interface Url {
  readonly url: string
  /** By this device's clock. */
  readonly wornAt: number
}

/** A request for URLs, which ends when nobody waits for it any more. */
interface Asked {
  readonly signed: Promise<void>
  readonly ending: AbortController
  waiting: number
}

/**
 * Hands out presigned URLs, asked for in small groups ahead of need: each download would else begin with a round trip,
 * and one request for all of them would let the last ones expire unused.
 */
export class SignedUrls {
  readonly #urls = new Map<string, Url>()
  readonly #asked = new Map<string, Asked>()

  /** @param planned every shard in the order in which it will be downloaded */
  constructor(
    private readonly sign: SignShards,
    private readonly planned: readonly string[],
  ) {}

  /**
   * A URL that is still good, signed before or now.
   *
   * @throws SplitComputeError `unreachable` when the API does not answer; the signal's reason once it aborts
   */
  async get(sha256: string, signal: AbortSignal): Promise<string | undefined> {
    const known = this.#urls.get(sha256)
    if (known !== undefined && Date.now() < known.wornAt) {
      return known.url
    }
    const asked = this.#asked.get(sha256) ?? this.#ask(sha256)
    asked.waiting++
    try {
      await withSignal(asked.signed, signal)
    } finally {
      asked.waiting--
      if (asked.waiting === 0 && signal.aborted) {
        this.#forget(asked)
        asked.ending.abort(signal.reason)
      }
    }
    return this.#urls.get(sha256)?.url
  }

  /** Another URL than `refused`, which S3 did not take. */
  async renew(sha256: string, refused: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    // Whoever shares the group may have renewed it already.
    if (this.#urls.get(sha256)?.url === refused) {
      this.#urls.clear()
    }
    return this.get(sha256, signal)
  }

  #ask(sha256: string): Asked {
    const at = Math.max(0, this.planned.indexOf(sha256))
    const group = [...new Set([sha256, ...this.planned.slice(at, at + GROUP)])].slice(0, GROUP)
    const ending = new AbortController()
    const timer = setTimeout(() => {
      const seconds = SIGN_MS / 1_000
      ending.abort(
        new SplitComputeError('unreachable', `The API signed no URLs of shards within ${seconds} s.`),
      )
    }, SIGN_MS)
    const signed = withSignal(this.sign(group, ending.signal), ending.signal)
      .then((urls) => {
        const now = Date.now()
        for (const { sha256, url, expires } of urls) {
          // Clocks differ: one that is ahead of the signer's must not take every URL for expired.
          const lifetime = expires > now ? expires - now : Number.POSITIVE_INFINITY
          this.#urls.set(sha256, { url, wornAt: now + lifetime * WORN })
        }
      })
      .finally(() => {
        clearTimeout(timer)
        this.#forget(asked)
      })
    const asked: Asked = { signed, ending, waiting: 0 }
    for (const key of group) {
      this.#asked.set(key, asked)
    }
    return asked
  }

  #forget(asked: Asked): void {
    for (const [key, other] of this.#asked) {
      if (other === asked) {
        this.#asked.delete(key)
      }
    }
  }
}
