import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type HashAnswer, type HashRequest, PartHasher } from '../../src/shards/part-hasher'
import { FakeHashThread, hasherOn } from '../support/hash-threads'

const BYTES = Uint8Array.of(1, 2, 3)
const SHA256 = createHash('sha256').update(BYTES).digest('hex')
const HASHED = { bytes: BYTES, sha256: SHA256 }

const hash = (hasher: PartHasher) => hasher.hash(BYTES.slice())

describe('a hasher', () => {
  let hasher: PartHasher | undefined

  afterEach(() => {
    hasher?.stop()
    vi.useRealTimers()
  })

  it('shouldHandPartsToItsThreadOnceThatIsReady', async () => {
    const thread = new FakeHashThread()
    hasher = await hasherOn(thread, 10)
    const before = thread.asked
    expect(await hash(hasher)).toEqual(HASHED)
    expect(thread.asked).toBe(before + 1)
  })

  it.each([
    { that: 'cannot be', start: async () => undefined },
    { that: 'fails to start', start: () => Promise.reject(new Error('No.')) },
    { that: 'never gets ready', start: async () => new MessageChannel().port1 },
    { that: 'never starts', start: () => new Promise<undefined>(() => undefined) },
  ])('shouldHashHereWithAThreadThat: $that', async ({ start }) => {
    hasher = new PartHasher({ start, end: () => undefined })
    hasher.start()
    await new Promise((resolve) => setTimeout(resolve))
    expect(await hash(hasher)).toEqual(HASHED)
  })

  it('shouldGiveUpAThreadThatDoesNotAnswerAndHashHereFromThenOn', async () => {
    const thread = new FakeHashThread()
    hasher = await hasherOn(thread, 1)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const answers = [hash(hasher), hash(hasher), hash(hasher)]
    expect(await answers[0]).toEqual(HASHED)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await Promise.all(answers)).toEqual([HASHED, undefined, undefined])
    expect(thread.ends).toBe(1)
    hasher.start()
    expect(await hash(hasher)).toEqual(HASHED)
    expect(thread.starts).toBe(1)
  })

  it('shouldGiveItsThreadTheTimeForEachPartAndNotForAllThatWait', async () => {
    const { port1, port2 } = new MessageChannel()
    const asked: HashRequest[] = []
    const answer = ({ id, bytes }: HashRequest) =>
      port1.postMessage({ id, bytes, sha256: SHA256 } satisfies HashAnswer)
    let ready = false
    port1.addEventListener('message', ({ data }: MessageEvent<HashRequest>) => {
      if (ready) {
        asked.push(data)
      } else {
        ready = true
        answer(data)
      }
    })
    port1.start()
    port1.postMessage('ready' satisfies HashAnswer)
    const end = vi.fn()
    hasher = new PartHasher({ start: async () => port2, end })
    hasher.start()
    while (!ready) {
      await hash(hasher)
    }
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const waiting = [hash(hasher), hash(hasher), hash(hasher)]
    await vi.waitFor(() => expect(asked).toHaveLength(3))
    for (const [i, result] of waiting.entries()) {
      await vi.advanceTimersByTimeAsync(4_000)
      answer(asked[i] as HashRequest)
      expect(await result).toEqual(HASHED)
    }
    expect(end).not.toHaveBeenCalled()
    port1.close()
  })

  it('shouldLeaveNothingPendingWhenItIsStopped', async () => {
    const thread = new FakeHashThread()
    hasher = await hasherOn(thread, 0)
    const lost = hash(hasher)
    hasher.stop()
    expect(await lost).toBeUndefined()
    expect(thread.ends).toBe(1)
    hasher.start()
    expect(thread.starts).toBe(2)
    expect(await hash(hasher)).toEqual(HASHED)
  })

  it('shouldTakeNoPortOfAThreadThatWasEndedBeforeItBegan', async () => {
    const { port1, port2 } = new MessageChannel()
    let begin: (port: MessagePort) => void = () => undefined
    const start = () =>
      new Promise<MessagePort>((resolve) => {
        begin = resolve
      })
    hasher = new PartHasher({ start, end: () => undefined })
    hasher.start()
    hasher.stop()
    const closed = new Promise((resolve) => port2.addEventListener('close', resolve))
    port2.start()
    begin(port1)
    await closed
    expect(await hash(hasher)).toEqual(HASHED)
  })
})
