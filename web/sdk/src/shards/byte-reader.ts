/** A read waits for what comes in this time: each read has its price, and progress wants to be told. */
const READ_MS = 50

const FEWEST_BYTES = 4 * 1024
const MOST_BYTES = 1024 * 1024

/** A response's bytes in order. */
export interface ByteReader {
  /** At least one byte and at most `most`, valid until the next read; `undefined` at the end. */
  read(most: number): Promise<Uint8Array | undefined>
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

/** Reads into one buffer that goes back and forth, so that a long download makes no garbage. */
class ByobReader implements ByteReader {
  #buffer = new ArrayBuffer(MOST_BYTES)
  #waitFor = FEWEST_BYTES

  constructor(private readonly reader: ReadableStreamBYOBReader) {}

  async read(most: number): Promise<Uint8Array | undefined> {
    const view = new Uint8Array(this.#buffer, 0, Math.min(most, MOST_BYTES))
    const start = performance.now()
    // WebKit ignores `min` and answers what is there.
    const { value } = await (this.reader.read as ReadWithMin).call(this.reader, view, {
      min: Math.min(view.byteLength, this.#waitFor),
    })
    if (value === undefined) {
      return undefined
    }
    const rate = value.byteLength / (performance.now() - start + 0.1)
    this.#waitFor = Math.round(Math.min(MOST_BYTES, Math.max(FEWEST_BYTES, rate * READ_MS)))
    this.#buffer = value.buffer
    // What came before the end comes along with it.
    return value.byteLength === 0 ? undefined : value
  }

  cancel(): Promise<void> {
    return this.reader.cancel()
  }
}

/** For streams that only hand out chunks of their own. */
class ChunkReader implements ByteReader {
  #rest: Uint8Array = new Uint8Array(0)

  constructor(private readonly reader: ReadableStreamDefaultReader<Uint8Array>) {}

  async read(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.byteLength === 0) {
      const { value } = await this.reader.read()
      if (value === undefined) {
        return undefined
      }
      this.#rest = value
    }
    const taken = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(taken.byteLength)
    return taken
  }

  cancel(): Promise<void> {
    return this.reader.cancel()
  }
}
