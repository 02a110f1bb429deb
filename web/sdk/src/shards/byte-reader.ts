/** A read waits for what comes in this time: each read has its price, and progress wants to be told. */
const READ_MS = 50

const FEWEST_BYTES = 4 * 1024
const MOST_BYTES = 1024 * 1024

/** Bytes that came. */
export interface Came {
  /** The buffer that was to be filled, or what has taken its place: a stream that fills it takes the buffer for itself. */
  readonly buffer: ArrayBuffer
  /** How many; none at the end of the stream. */
  readonly bytes: number
}

/** A response's bytes in order. */
export interface ByteReader {
  /**
   * Reads on into `[begin, end)` of a buffer.
   *
   * @throws Error when the connection breaks; the buffer may be gone with it, and all that was in it
   */
  read(buffer: ArrayBuffer, begin: number, end: number): Promise<Came>
  cancel(): Promise<void>
}

export function readBytes(stream: ReadableStream<Uint8Array<ArrayBuffer>>): ByteReader {
  try {
    return new ByobReader(stream.getReader({ mode: 'byob' }))
  } catch {
    return new ChunkReader(stream.getReader())
  }
}

/** `@types` know `min` not yet. */
type ReadWithMin = (
  view: Uint8Array<ArrayBuffer>,
  options: { min: number },
) => Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>>

/**
 * Where the network is fast enough to fill a buffer in one read's time, the stream writes into it; else bytes come by way of a small
 * one, for a connection that breaks takes the buffer along that it was filling.
 */
class ByobReader implements ByteReader {
  /** Goes back and forth, so that a long download makes no garbage. */
  #small: ArrayBuffer | undefined
  #straight = false
  /** Bytes that come in `READ_MS`. */
  #expected = FEWEST_BYTES

  constructor(private readonly reader: ReadableStreamBYOBReader) {}

  async read(buffer: ArrayBuffer, begin: number, end: number): Promise<Came> {
    const most = Math.min(end - begin, MOST_BYTES)
    if (begin === 0) {
      this.#straight = end <= this.#expected
    }
    if (this.#straight) {
      const value = await this.#fill(new Uint8Array(buffer, begin, most))
      return { buffer: value?.buffer ?? buffer, bytes: value?.byteLength ?? 0 }
    }
    const value = await this.#fill(new Uint8Array(this.#small ?? new ArrayBuffer(MOST_BYTES), 0, most))
    this.#small = value?.buffer
    new Uint8Array(buffer).set(value ?? [], begin)
    return { buffer, bytes: value?.byteLength ?? 0 }
  }

  cancel(): Promise<void> {
    return this.reader.cancel()
  }

  /** What came before the end comes along with it; `undefined` once the stream is cancelled. */
  async #fill(view: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const start = performance.now()
    const min = Math.min(view.byteLength, this.#expected)
    // WebKit ignores `min` and answers what is there.
    const { value } = await (this.reader.read as ReadWithMin).call(this.reader, view, { min })
    const rate = (value?.byteLength ?? 0) / (performance.now() - start + 0.1)
    this.#expected = Math.round(Math.max(FEWEST_BYTES, rate * READ_MS))
    return value
  }
}

/** For streams that only hand out chunks of their own. */
class ChunkReader implements ByteReader {
  #rest: Uint8Array = new Uint8Array(0)

  constructor(private readonly reader: ReadableStreamDefaultReader<Uint8Array>) {}

  async read(buffer: ArrayBuffer, begin: number, end: number): Promise<Came> {
    while (this.#rest.byteLength === 0) {
      const { value } = await this.reader.read()
      if (value === undefined) {
        return { buffer, bytes: 0 }
      }
      this.#rest = value
    }
    const taken = this.#rest.subarray(0, end - begin)
    this.#rest = this.#rest.subarray(taken.byteLength)
    new Uint8Array(buffer).set(taken, begin)
    return { buffer, bytes: taken.byteLength }
  }

  cancel(): Promise<void> {
    return this.reader.cancel()
  }
}
