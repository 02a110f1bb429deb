import { backoffMs, sleep } from '../backoff'
import type { Part, Shard } from '../client/manifest'
import { SplitComputeError } from '../errors'
import type { SignedUrls } from './signed-urls'

export interface DownloadOptions {
  /** How errors name the shard. */
  readonly unit: string
  readonly urls: SignedUrls
  readonly signal: AbortSignal
  /** Told of every chunk that arrives; negative where a part must be fetched again. */
  readonly onBytes: (bytes: number) => void
}

/** Failures in a row, without a byte between them, after which the download gives up. */
const FAILURES = 6

/**
 * Downloads a shard part by part and yields each part once its hash agrees. No more than one part is in memory.
 *
 * A refused URL (403), and a network error that the browser does not explain, are answered by a newly signed URL at once;
 * the download goes on at the byte where it stopped, with back-off from the second failure in a row. A part with a wrong
 * hash is fetched once more.
 *
 * @throws SplitComputeError `shard_refused` when a part's bytes are wrong twice, `unreachable` when S3 does not answer
 */
export async function* downloadParts(
  shard: Shard,
  options: DownloadOptions,
): AsyncGenerator<{ part: Part; bytes: Uint8Array<ArrayBuffer> }> {
  const source = new PartSource(shard, options)
  try {
    for (const [index, part] of shard.parts.entries()) {
      let bytes = await source.read(part)
      if ((await sha256(bytes)) !== part.sha256) {
        options.onBytes(-part.bytes)
        await source.restart()
        bytes = await source.read(part)
        if ((await sha256(bytes)) !== part.sha256) {
          options.onBytes(-part.bytes)
          throw new SplitComputeError(
            'shard_refused',
            `The shard of ${options.unit} was refused: part ${index + 1} of ${shard.parts.length} is not ` +
              'what the manifest names (its SHA-256 differs).',
          )
        }
      }
      yield { part, bytes }
    }
  } finally {
    await source.stop()
  }
}

/** The SHA-256 of some bytes in lower-case hex. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The bytes of a shard in order over one response, or as many as it takes. */
class PartSource {
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  /** What arrived beyond the part that was read last. */
  #rest: Uint8Array = new Uint8Array(0)
  #failures = 0
  #cache: RequestCache = 'default'

  constructor(
    private readonly shard: Shard,
    private readonly options: DownloadOptions,
  ) {}

  async read(part: Part): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(part.bytes)
    let filled = 0
    while (filled < part.bytes) {
      const chunk = await this.#next(part.offset + filled)
      const taken = chunk.subarray(0, part.bytes - filled)
      bytes.set(taken, filled)
      filled += taken.byteLength
      this.#rest = chunk.subarray(taken.byteLength)
      this.options.onBytes(taken.byteLength)
    }
    return bytes
  }

  /** Drops the response, so that what is read next is fetched anew. */
  async restart(): Promise<void> {
    await this.stop()
    this.#reader = undefined
    this.#rest = new Uint8Array(0)
    // What a cache kept may be what was wrong.
    this.#cache = 'reload'
  }

  async stop(): Promise<void> {
    // A connection that is broken already has nothing to cancel.
    await this.#reader?.cancel().catch(() => undefined)
  }

  /** At least one byte from `offset` on. */
  async #next(offset: number): Promise<Uint8Array> {
    while (this.#rest.byteLength === 0) {
      this.#reader ??= await this.#open(offset)
      let result: ReadableStreamReadResult<Uint8Array>
      try {
        result = await this.#reader.read()
      } catch (cause) {
        await this.#renew('the connection broke', cause)
        continue
      }
      if (result.done) {
        await this.#renew(`the answer ended at byte ${offset} of ${this.shard.bytes}`)
      } else {
        this.#rest = result.value
        this.#failures = 0
      }
    }
    return this.#rest
  }

  async #open(offset: number): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    const { urls, signal, unit } = this.options
    for (;;) {
      const url = await urls.get(this.shard.sha256, signal)
      if (url === undefined) {
        throw new SplitComputeError('invalid_message', `The API signed no URL for the shard of ${unit}.`)
      }
      let response: Response
      try {
        // No header where none is needed: `Range` costs a preflight in older browsers.
        const headers: HeadersInit = offset > 0 ? { Range: `bytes=${offset}-` } : {}
        response = await fetch(url, { headers, signal, credentials: 'omit', cache: this.#cache })
      } catch (cause) {
        // Across origins an expired URL can look like this: S3's answer without CORS headers is opaque.
        await this.#renew('it could not be fetched', cause)
        continue
      }
      const expected = offset > 0 ? 206 : 200
      if (response.status === expected && response.body !== null) {
        return response.body.getReader()
      }
      await response.body?.cancel()
      await this.#renew(`S3 answered ${response.status}`)
    }
  }

  async #renew(why: string, cause?: unknown): Promise<void> {
    const { signal, unit, urls } = this.options
    signal.throwIfAborted()
    this.#failures++
    if (this.#failures >= FAILURES) {
      throw new SplitComputeError('unreachable', `The shard of ${unit} did not arrive: ${why}.`, { cause })
    }
    await this.restart()
    if (this.#failures > 1) {
      await sleep(backoffMs(this.#failures - 2), signal)
    }
    await urls.renew(this.shard.sha256, signal)
  }
}
