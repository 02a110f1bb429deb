import { backoffMs, retryAfterMs, sleep } from '../backoff'
import type { Part, Shard } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { type ByteReader, type Came, readBytes } from './byte-reader'
import type { PartBuffers } from './part-buffers'
import type { PartHasher } from './part-hasher'
import { sha256 } from './sha256'
import type { SignedUrls } from './signed-urls'

export interface DownloadOptions {
  /** How errors name the shard. */
  readonly unit: string
  readonly urls: SignedUrls
  readonly buffers: PartBuffers
  readonly hasher: PartHasher
  readonly signal: AbortSignal
  /** Told of bytes as they arrive; negative where a part must be fetched again. */
  readonly onBytes: (bytes: number) => void
  /** Given each part as it arrives, before its hash is known; the next one is read when it is done. */
  readonly onArrived: (part: Part, bytes: Uint8Array<ArrayBuffer>) => Promise<void>
  /** The bytes of a part that has arrived, where they are kept; good until the next ones are asked for. */
  readonly recall: (part: Part) => Promise<Uint8Array<ArrayBuffer> | undefined>
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
 * hash is fetched once more, and so is one that is lost with the thread that hashes, unless it is kept.
 *
 * @param parts that are wanted, consecutive
 * @throws SplitComputeError `shard_refused` when a part's bytes are wrong twice, `unreachable` when S3 does not answer
 */
export async function* downloadParts(
  shard: Shard,
  parts: readonly Part[],
  options: DownloadOptions,
): AsyncGenerator<VerifiedPart> {
  const { buffers, hasher, onArrived, onBytes } = options
  const source = new PartSource(shard, options)
  let last: Promise<unknown> = Promise.resolve()
  const verify = (part: Part) => {
    const arrived = last.then(async () => {
      const bytes = await source.read(part)
      await onArrived(part, bytes)
      return bytes
    })
    last = arrived
    const verified = arrived.then(async (bytes) => {
      const hashed = await hasher.hash(bytes)
      return hashed?.sha256 === part.sha256 ? hashed.bytes : undefined
    })
    // It is awaited some parts later; until then a failure must not count as unhandled.
    verified.catch(() => undefined)
    return verified
  }
  try {
    const coming = parts.slice(0, AHEAD).map(verify)
    for (const [i, part] of parts.entries()) {
      let bytes = (await coming.shift()) ?? (await recalled(part, options))
      if (bytes === undefined) {
        onBytes(-part.bytes)
        bytes = await fetchAnew(shard, part, options)
      }
      yield { part, bytes }
      buffers.give(bytes.buffer)
      const next = parts[i + AHEAD]
      if (next !== undefined) {
        coming.push(verify(next))
      }
    }
  } finally {
    await source.stop()
  }
}

async function recalled(
  part: Part,
  { recall, buffers }: DownloadOptions,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const kept = await recall(part)
  if (kept === undefined || (await sha256(kept)) !== part.sha256) {
    return undefined
  }
  const bytes = new Uint8Array(buffers.take(part.bytes), 0, part.bytes)
  bytes.set(kept)
  return bytes
}

async function fetchAnew(
  shard: Shard,
  part: Part,
  options: DownloadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const source = new PartSource(shard, options)
  try {
    const bytes = await source.read(part)
    await options.onArrived(part, bytes)
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
  /** Whether the last failures in a row had a new signature already. */
  #resigned = false
  readonly #stopping = new AbortController()
  readonly #signal: AbortSignal

  constructor(
    private readonly shard: Shard,
    private readonly options: DownloadOptions,
  ) {
    this.#signal = AbortSignal.any([options.signal, this.#stopping.signal])
  }

  async read(part: Part): Promise<Uint8Array<ArrayBuffer>> {
    const { buffers, onBytes } = this.options
    let buffer = buffers.take(part.bytes)
    let filled = 0
    while (filled < part.bytes) {
      const offset = part.offset + filled
      this.#reader ??= await this.#open(offset)
      let came: Came
      try {
        came = await withinTime(this.#reader.read(buffer, filled, part.bytes))
      } catch (cause) {
        if (buffer.byteLength === 0) {
          // It is gone with the connection.
          buffer = buffers.take(part.bytes)
          onBytes(-filled)
          filled = 0
        }
        await this.#recover('the connection broke', { resign: true, cause })
        continue
      }
      buffer = came.buffer
      if (came.bytes === 0) {
        await this.#recover(`the answer ended at byte ${offset} of ${this.shard.bytes}`, { resign: false })
        continue
      }
      filled += came.bytes
      this.#unbroken += came.bytes
      if (this.#unbroken >= UNBROKEN_BYTES) {
        this.#failures = 0
        this.#resigned = false
      }
      onBytes(came.bytes)
    }
    return new Uint8Array(buffer, 0, part.bytes)
  }

  /** Nothing is read or fetched any more. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('The download was stopped.'))
    await this.#drop()
  }

  async #drop(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    // A connection that is broken already has nothing to cancel.
    await reader?.cancel().catch(() => undefined)
  }

  async #open(offset: number): Promise<ByteReader> {
    const { urls, unit } = this.options
    for (;;) {
      this.#signal.throwIfAborted()
      this.#url = await urls.get(this.shard.sha256, this.#signal)
      if (this.#url === undefined) {
        throw new SplitComputeError('invalid_message', `The API signed no URL for the shard of ${unit}.`)
      }
      let response: Response
      try {
        response = await this.#fetch(this.#url, offset)
      } catch (cause) {
        // Across origins an expired URL can look like this: S3's answer without CORS headers is opaque.
        await this.#recover('it could not be fetched', { resign: true, cause })
        continue
      }
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

  /** A server that takes the connection and says nothing would hold the fetch for ever: it has no limit of its own. */
  async #fetch(url: string, offset: number): Promise<Response> {
    const silent = new AbortController()
    const timer = setTimeout(() => silent.abort(new Error('Nothing was answered.')), STALLED_MS)
    try {
      return await fetch(url, {
        // No header where none is needed: `Range` costs a preflight in older browsers.
        headers: offset > 0 ? { Range: `bytes=${offset}-` } : {},
        signal: AbortSignal.any([this.#signal, silent.signal]),
        credentials: 'omit',
        // The browser's cache would write it all to the disk once more, under a URL that never comes again.
        cache: 'no-store',
      })
    } finally {
      clearTimeout(timer)
    }
  }

  async #recover(
    why: string,
    { resign, waitMs, cause }: { resign: boolean; waitMs?: number | undefined; cause?: unknown },
  ): Promise<void> {
    const { unit, urls } = this.options
    this.#signal.throwIfAborted()
    this.#failures++
    this.#unbroken = 0
    if (this.#failures >= FAILURES) {
      throw new SplitComputeError('unreachable', `The shard of ${unit} did not arrive: ${why}.`, { cause })
    }
    await this.#drop()
    // The first new signature is the cure; whatever fails again, or is not cured by it, waits.
    if (this.#failures > 1 || !resign) {
      await sleep(Math.max(waitMs ?? 0, backoffMs(Math.max(0, this.#failures - 2))), this.#signal)
    }
    if (resign && !this.#resigned) {
      this.#resigned = true
      await urls.renew(this.shard.sha256, this.#url, this.#signal)
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
