import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Part, Shard } from '../../src/client/manifest'
import { type DownloadOptions, downloadParts } from '../../src/shards/download'
import { PartBuffers } from '../../src/shards/part-buffers'
import { PartHasher } from '../../src/shards/part-hasher'
import { SignedUrls, type SignShards } from '../../src/shards/signed-urls'
import { FakeHashThread, hasherOn } from '../support/hash-threads'

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

/** Breaks after its first bytes. */
function brokenAfter(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  let sent = false
  return new ReadableStream({
    type: 'bytes',
    pull: (controller) => {
      if (sent) {
        controller.error(new TypeError('reset'))
      } else {
        controller.enqueue(bytes.slice())
      }
      sent = true
    },
  })
}

const sign: SignShards = async (sha256s) =>
  sha256s.map((sha256) => ({ sha256, url: 'http://s3/', expires: Date.now() + 300_000 }))

interface Asked {
  parts?: readonly Part[]
  signShards?: SignShards
  signal?: AbortSignal
  hasher?: PartHasher
  recall?: DownloadOptions['recall']
}

async function download({
  parts = PARTS,
  signShards = sign,
  signal = new AbortController().signal,
  hasher = new PartHasher({ start: async () => undefined, end: () => undefined }),
  recall = async () => undefined,
}: Asked = {}) {
  const bytes = new Uint8Array(DATA.byteLength)
  let told = 0
  const steps: string[] = []
  const options = {
    unit: 'layer.0',
    urls: new SignedUrls(signShards, [SHARD.sha256]),
    buffers: new PartBuffers(),
    hasher,
    recall,
    signal,
    onBytes: (count: number) => {
      told += count
    },
    onArrived: async (part: Part) => {
      steps.push(`arrived ${PARTS.indexOf(part)}`)
    },
  }
  for await (const { part, bytes: some } of downloadParts(SHARD, parts, options)) {
    bytes.set(some, part.offset)
    steps.push(`verified ${PARTS.indexOf(part)}`)
  }
  return { bytes, told, steps }
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
    const { bytes } = await download({ parts: PARTS.slice(2) })
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

  it('shouldGiveEachPartAsItArrivesBeforeItIsVerified', async () => {
    serve(byteStream)
    const { steps } = await download()
    for (const i of PARTS.keys()) {
      expect(steps.indexOf(`arrived ${i}`)).toBeLessThan(steps.indexOf(`verified ${i}`))
    }
    expect(steps).toHaveLength(2 * PARTS.length)
  })

  it.each([
    { where: 'within a part', end: PART_BYTES + 1_000 },
    { where: 'between parts', end: 2 * PART_BYTES },
  ])('shouldFetchNoPartThatHasArrivedTwiceWhenTheConnectionBreaks: $where', async ({ end }) => {
    const ranges = serve((bytes, request) =>
      request === 1 ? brokenAfter(bytes.slice(0, end)) : byteStream(bytes),
    )
    const { bytes, told } = await download()
    expect(hash(bytes)).toBe(SHARD.sha256)
    expect(told).toBe(SHARD.bytes)
    expect(ranges).toHaveLength(2)
    const again = Number(/\d+/.exec(ranges[1] ?? '')?.[0])
    expect(again).toBeGreaterThanOrEqual(Math.floor(end / PART_BYTES) * PART_BYTES)
    expect(again).toBeLessThanOrEqual(end)
  })

  it('shouldAskAnotherConnectionWhenNothingIsAnsweredForHalfAMinute', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let requests = 0
    vi.stubGlobal('fetch', (_: string, { signal }: { signal: AbortSignal }) => {
      requests++
      return requests > 1
        ? Promise.resolve(new Response(byteStream(DATA.slice())))
        : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const downloaded = download()
    await vi.advanceTimersByTimeAsync(29_000)
    expect(requests).toBe(1)
    await vi.advanceTimersByTimeAsync(2_000)
    vi.useRealTimers()
    expect(hash((await downloaded).bytes)).toBe(SHARD.sha256)
  })

  it('shouldSignAnewOnceForFailuresInARow', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const asked = vi.fn(sign)
    let requests = 0
    vi.stubGlobal('fetch', async () => {
      requests++
      if (requests < 4) {
        throw new TypeError('refused')
      }
      return new Response(byteStream(DATA.slice()))
    })
    const downloaded = download({ signShards: asked })
    await vi.advanceTimersByTimeAsync(10_000)
    vi.useRealTimers()
    expect(hash((await downloaded).bytes)).toBe(SHARD.sha256)
    expect(asked).toHaveBeenCalledTimes(2)
  })

  it('shouldEndAsUnreachableWhenNothingIsSigned', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let ended: AbortSignal | undefined
    const silent: SignShards = (_, signal) => {
      ended = signal
      return new Promise(() => undefined)
    }
    const downloaded = expect(download({ signShards: silent })).rejects.toMatchObject({ code: 'unreachable' })
    await vi.advanceTimersByTimeAsync(16_000)
    await downloaded
    expect(ended?.aborted).toBe(true)
  })

  it('shouldNotWaitForASignatureOnceItIsAborted', async () => {
    let ended: AbortSignal | undefined
    const silent: SignShards = (_, signal) => {
      ended = signal
      return new Promise(() => undefined)
    }
    const controller = new AbortController()
    const downloaded = download({ signShards: silent, signal: controller.signal })
    await vi.waitFor(() => expect(ended).toBeDefined())
    controller.abort(new Error('Enough.'))
    await expect(downloaded).rejects.toThrow('Enough.')
    expect(ended?.aborted).toBe(true)
  })
})

describe('a download whose parts are lost with the thread that hashes', () => {
  /** Lets the thread fall silent behind its first parts, and the time pass in which it is waited for. */
  async function downloadLosing(recall: DownloadOptions['recall'], hashed = 1) {
    const hasher = await hasherOn(new FakeHashThread(), hashed)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let ended = false
    const downloaded = download({ hasher, recall }).finally(() => {
      ended = true
    })
    downloaded.catch(() => undefined)
    while (!ended) {
      await vi.advanceTimersByTimeAsync(500)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return await downloaded
  }

  it('shouldFetchNothingTwiceThatIsKept', async () => {
    const ranges = serve(byteStream)
    const recalled: number[] = []
    const { bytes, told } = await downloadLosing(async ({ offset, bytes: size }) => {
      recalled.push(offset)
      return DATA.slice(offset, offset + size)
    })
    expect(hash(bytes)).toBe(SHARD.sha256)
    expect(told).toBe(SHARD.bytes)
    expect(ranges).toEqual([undefined])
    expect(recalled.length).toBeGreaterThan(0)
  })

  it.each([
    { that: 'is not kept', recall: async () => undefined },
    { that: 'is not kept as it was', recall: async ({ bytes }: Part) => new Uint8Array(bytes) },
  ])('shouldFetchAnewWhat: $that', async ({ recall }) => {
    const ranges = serve(byteStream)
    const { bytes, told } = await downloadLosing(recall)
    expect(hash(bytes)).toBe(SHARD.sha256)
    expect(told).toBe(SHARD.bytes)
    expect(ranges.length).toBeGreaterThan(1)
  })

  it('shouldRefuseWrongBytesAllTheSame', async () => {
    serve((bytes) => byteStream(bytes.fill(0)))
    const refused = downloadLosing(async ({ bytes }) => new Uint8Array(bytes), 0)
    await expect(refused).rejects.toMatchObject({ code: 'shard_refused' })
  })
})

describe('a request for signatures', () => {
  it('shouldGoOnForThoseWhoStillWait', async () => {
    let answer: () => void = () => undefined
    let ended: AbortSignal | undefined
    const urls = new SignedUrls(
      async (sha256s, signal) => {
        ended = signal
        await new Promise<void>((resolve) => {
          answer = resolve
        })
        return sign(sha256s, signal)
      },
      ['a', 'b'],
    )
    const first = new AbortController()
    const gone = urls.get('a', first.signal)
    const stays = urls.get('b', new AbortController().signal)
    first.abort(new Error('Enough.'))
    await expect(gone).rejects.toThrow('Enough.')
    expect(ended?.aborted).toBe(false)
    answer()
    expect(await stays).toBe('http://s3/')
  })
})
