import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Part, Shard } from '../../src/client/manifest'
import { downloadParts } from '../../src/shards/download'
import { PartBuffers } from '../../src/shards/part-buffers'
import { SignedUrls } from '../../src/shards/signed-urls'

const PART_BYTES = 50_000
const BYTES = crypto.getRandomValues(new Uint8Array(60_000))
const DATA = new Uint8Array([...BYTES, ...BYTES, ...BYTES])

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const PARTS: Part[] = Array.from({ length: Math.ceil(DATA.length / PART_BYTES) }, (_, i) => {
  const bytes = DATA.subarray(i * PART_BYTES, (i + 1) * PART_BYTES)
  return { offset: i * PART_BYTES, bytes: bytes.byteLength, sha256: hash(bytes) }
})
const SHARD: Shard = { sha256: hash(DATA), bytes: DATA.byteLength, parts: PARTS }

/** Answers the shard's bytes from where the request wants them, as the stream that a test makes of them. */
function serve(stream: (bytes: Uint8Array<ArrayBuffer>, request: number) => ReadableStream<Uint8Array>) {
  const ranges: (string | undefined)[] = []
  vi.stubGlobal('fetch', async (_: string, { headers }: { headers: Record<string, string> }) => {
    ranges.push(headers.Range)
    const begin = Number(/^bytes=(\d+)-$/.exec(headers.Range ?? '')?.[1] ?? 0)
    return new Response(stream(DATA.slice(begin), ranges.length), { status: begin > 0 ? 206 : 200 })
  })
  return ranges
}

/** Enqueues a piece at each pull. */
function inPieces(bytes: Uint8Array<ArrayBuffer>) {
  let sent = 0
  return (controller: ReadableByteStreamController | ReadableStreamDefaultController<Uint8Array>) => {
    const end = Math.min(sent + 7_001, bytes.byteLength)
    controller.enqueue(bytes.slice(sent, end))
    sent = end
    if (sent === bytes.byteLength) {
      controller.close()
    }
  }
}

/** A stream of bytes that a reader may fill its own buffers from, as a network's is. */
function byteStream(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return new ReadableStream({ type: 'bytes', pull: inPieces(bytes) })
}

/** A stream that hands out chunks of its own alone. */
function chunkStream(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: inPieces(bytes) })
}

/** Says nothing after its first bytes. */
function silentAfter(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    type: 'bytes',
    start: (controller) => controller.enqueue(bytes.slice()),
  })
}

async function download(parts: readonly Part[] = PARTS): Promise<{ bytes: Uint8Array; told: number }> {
  const bytes = new Uint8Array(DATA.byteLength)
  let told = 0
  const sign = async (sha256s: readonly string[]) =>
    sha256s.map((sha256) => ({ sha256, url: 'http://s3/', expires: Date.now() + 300_000 }))
  const options = {
    unit: 'layer.0',
    urls: new SignedUrls(sign, [SHARD.sha256]),
    buffers: new PartBuffers(),
    signal: new AbortController().signal,
    onBytes: (count: number) => {
      told += count
    },
  }
  for await (const { part, bytes: some } of downloadParts(SHARD, parts, options)) {
    bytes.set(some, part.offset)
  }
  return { bytes, told }
}

afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

describe('a download', () => {
  it.each([
    { reader: 'fill buffers of the reader', stream: byteStream },
    { reader: 'hand out chunks of their own', stream: chunkStream },
  ])('shouldYieldEveryPartInOrderFromStreamsThat: $reader', async ({ stream }) => {
    const ranges = serve(stream)
    const { bytes, told } = await download()
    expect(hash(bytes)).toBe(SHARD.sha256)
    expect(told).toBe(SHARD.bytes)
    expect(ranges).toEqual([undefined])
  })

  it('shouldBeginAtTheFirstPartThatIsWanted', async () => {
    const ranges = serve(byteStream)
    const { bytes } = await download(PARTS.slice(2))
    expect(hash(bytes.subarray(2 * PART_BYTES))).toBe(hash(DATA.subarray(2 * PART_BYTES)))
    expect(ranges).toEqual([`bytes=${2 * PART_BYTES}-`])
  })

  it('shouldGoOnByAnotherConnectionWhenNothingComesForHalfAMinute', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const ranges = serve((bytes, request) =>
      request === 1 ? silentAfter(bytes.slice(0, PART_BYTES)) : byteStream(bytes),
    )
    const downloaded = download()
    await vi.advanceTimersByTimeAsync(29_000)
    expect(ranges).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(2_000)
    vi.useRealTimers()
    expect(hash((await downloaded).bytes)).toBe(SHARD.sha256)
    expect(ranges).toEqual([undefined, `bytes=${PART_BYTES}-`])
  })

  it('shouldFetchAPartOnceMoreWhenItsBytesAreWrong', async () => {
    const ranges = serve((bytes, request) => {
      if (request === 1) {
        bytes.fill(0, PART_BYTES + 10, PART_BYTES + 20)
      }
      return byteStream(bytes)
    })
    const { bytes, told } = await download()
    expect(hash(bytes)).toBe(SHARD.sha256)
    expect(told).toBe(SHARD.bytes)
    expect(ranges).toEqual([undefined, `bytes=${PART_BYTES}-`])
  })

  it('shouldBeRefusedWhenItsBytesAreWrongTwice', async () => {
    serve((bytes) => byteStream(bytes.fill(0)))
    await expect(download()).rejects.toMatchObject({
      code: 'shard_refused',
      message: expect.stringContaining('part 1 of 4'),
    })
  })
})
