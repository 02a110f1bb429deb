import { backoffMs, retryAfterMs, sleep } from '../backoff'
import type { Part, Shard } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { type ByteReader, readBytes } from './byte-reader'
import type { PartBuffers } from './part-buffers'
import { sha256 } from './sha256'
import type { SignedUrls } from './signed-urls'

export interface DownloadOptions {
  /** How errors name the shard. */
  readonly unit: string
  readonly urls: SignedUrls
  readonly buffers: PartBuffers
  readonly signal: AbortSignal
  /** Told of bytes as they arrive; negative where a part must be fetched again. */
  readonly onBytes: (bytes: number) => void
}

/** A part whose hash agrees. */
export interface VerifiedPart {
  readonly part: Part
  /** Good until the next part is asked for. */
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** Parts in memory: one arrives, one is hashed, one is used. */
const AHEAD = 3

/** Failures in a row, with less than a few bytes between them, after which the download gives up. */
const FAILURES = 6
const UNBROKEN_BYTES = 64 * 1024

/** A connection over which nothing came for so long is taken for broken. */
const STALLED_MS = 30_000

/**
 * Downloads parts of a shard and yields each once its hash agrees. While one is used the next one is hashed and the one behind
 * it arrives: three parts are in memory.
 *
 * A refused URL (403), and a network error that the browser does not explain, are answered by a newly signed URL at once;
 * the download goes on at the byte where it stopped, with back-off from the second failure in a row. A part with a wrong
 * hash is fetched once more.
 *
 * @param parts that are wanted, consecutive
 * @throws SplitComputeError `shard_refused` when a part's bytes are wrong twice, `unreachable` when S3 does not answer
 */
export async function* downloadParts(
  shard: Shard,
  parts: readonly Part[],
  options: DownloadOptions,
): AsyncGenerator<VerifiedPart> {
  const source = new PartSource(shard, options)
  const largest = Math.max(0, ...parts.map(({ bytes }) => bytes))
  const buffers = parts.slice(0, AHEAD).map(() => options.buffers.take(largest))
  let read: Promise<unknown> = Promise.resolve()
  const verify = (part: Part, i: number) => {
    const bytes = (buffers[i % AHEAD] as Uint8Array<ArrayBuffer>).subarray(0, part.bytes)
    const arrived = read.then(() => source.read(part, bytes))
    read = arrived
    const verified = arrived.then(async () => ((await sha256(bytes)) === part.sha256 ? bytes : undefined))
    // It is awaited some parts later; until then a failure must not count as unhandled.
    verified.catch(() => undefined)
    return verified
  }
  try {
    const coming = parts.slice(0, AHEAD).map(verify)
    for (const [i, part] of parts.entries()) {
      const bytes = await coming.shift()
      if (bytes === undefined) {
        options.onBytes(-part.bytes)
      }
      yield { part, bytes: bytes ?? (await fetchAnew(shard, part, options)) }
      const next = parts[i + AHEAD]
      if (next !== undefined) {
        coming.push(verify(next, i + AHEAD))
      }
    }
  } finally {
    await source.stop()
    // The last read may still be filling one; it ends soon, and nobody has to wait for it.
    const give = () => buffers.map((buffer) => options.buffers.give(buffer))
    read.then(give, give)
  }
}

async function fetchAnew(
  shard: Shard,
  part: Part,
  options: DownloadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const source = new PartSource(shard, options)
  try {
    const bytes = new Uint8Array(part.bytes)
    await source.read(part, bytes)
    if ((await sha256(bytes)) === part.sha256) {
      return bytes
    }
  } finally {
    await source.stop()
  }
  options.onBytes(-part.bytes)
  throw new SplitComputeError(
    'shard_refused',
    `The shard of ${options.unit} was refused: part ${shard.parts.indexOf(part) + 1} of ${shard.parts.length} ` +
      'is not what the manifest names (its SHA-256 differs).',
  )
}

/** The bytes of a shard in order over one response, or as many as it takes. */
class PartSource {
  #reader: ByteReader | undefined
  #url: string | undefined
  #failures = 0
  /** Bytes since the last failure. */
  #unbroken = 0
  #stopped = false

  constructor(
    private readonly shard: Shard,
    private readonly options: DownloadOptions,
  ) {}

  /** Fills `bytes`, which is as long as the part. */
  async read(part: Part, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let filled = 0
    while (filled < part.bytes) {
      const offset = part.offset + filled
      this.#reader ??= await this.#open(offset)
      let chunk: Uint8Array | undefined
      try {
        chunk = await withinTime(this.#reader.read(part.bytes - filled))
      } catch (cause) {
        await this.#recover('the connection broke', { resign: true, cause })
        continue
      }
      if (chunk === undefined) {
        await this.#recover(`the answer ended at byte ${offset} of ${this.shard.bytes}`, { resign: false })
        continue
      }
      bytes.set(chunk, filled)
      filled += chunk.byteLength
      this.#unbroken += chunk.byteLength
      if (this.#unbroken >= UNBROKEN_BYTES) {
        this.#failures = 0
      }
      this.options.onBytes(chunk.byteLength)
    }
  }

  /** Nothing is read or fetched any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#drop()
  }

  #throwIfOver(): void {
    this.options.signal.throwIfAborted()
    if (this.#stopped) {
      throw new Error('The download was stopped.')
    }
  }

  async #drop(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    // A connection that is broken already has nothing to cancel.
    await reader?.cancel().catch(() => undefined)
  }

  async #open(offset: number): Promise<ByteReader> {
    const { urls, signal, unit } = this.options
    for (;;) {
      signal.throwIfAborted()
      this.#url = await urls.get(this.shard.sha256)
      this.#throwIfOver()
      if (this.#url === undefined) {
        throw new SplitComputeError('invalid_message', `The API signed no URL for the shard of ${unit}.`)
      }
      let response: Response
      try {
        // No header where none is needed: `Range` costs a preflight in older browsers.
        const headers: HeadersInit = offset > 0 ? { Range: `bytes=${offset}-` } : {}
        // The browser's cache would write it all to the disk once more, under a URL that never comes again.
        response = await fetch(this.#url, { headers, signal, credentials: 'omit', cache: 'no-store' })
      } catch (cause) {
        // Across origins an expired URL can look like this: S3's answer without CORS headers is opaque.
        await this.#recover('it could not be fetched', { resign: true, cause })
        continue
      }
      if (this.#stopped) {
        await response.body?.cancel()
      }
      this.#throwIfOver()
      const expected = offset > 0 ? 206 : 200
      if (response.status === expected && response.body !== null) {
        return readBytes(response.body)
      }
      await response.body?.cancel()
      await this.#recover(`S3 answered ${response.status}`, {
        resign: response.status === 403,
        waitMs: retryAfterMs(response.headers.get('Retry-After')),
      })
    }
  }

  async #recover(
    why: string,
    { resign, waitMs, cause }: { resign: boolean; waitMs?: number | undefined; cause?: unknown },
  ): Promise<void> {
    const { signal, unit, urls } = this.options
    this.#throwIfOver()
    this.#failures++
    this.#unbroken = 0
    if (this.#failures >= FAILURES) {
      throw new SplitComputeError('unreachable', `The shard of ${unit} did not arrive: ${why}.`, { cause })
    }
    await this.#drop()
    // The first new signature is the cure; whatever fails again, or is not cured by it, waits.
    if (this.#failures > 1 || !resign) {
      await sleep(Math.max(waitMs ?? 0, backoffMs(Math.max(0, this.#failures - 2))), signal)
    }
    if (resign) {
      await urls.renew(this.shard.sha256, this.#url)
    }
  }
}

async function withinTime<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('Nothing arrived.')), STALLED_MS)
  })
  try {
    return await Promise.race([work, stalled])
  } finally {
    clearTimeout(timer)
  }
}
