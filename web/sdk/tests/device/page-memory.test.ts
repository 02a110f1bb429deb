import { afterEach, describe, expect, it } from 'vitest'
import { Channel } from '../../src/device/channel'
import { PageMemory } from '../../src/device/page-memory'
import type { DeviceCalls, PageCalls } from '../../src/device/protocol'
import { MemoryStore } from '../../src/shards/store/memory-store'

const { signal } = new AbortController()
const RECORD = { sha256: 'a', bytes: 6, model: 'm', unit: 'layer.0', dtype: 'f16', used: 1 }
const PARTS = [
  { offset: 0, bytes: 4, sha256: '0' },
  { offset: 4, bytes: 2, sha256: '1' },
]

describe("a page's memory", () => {
  const ports: MessagePort[] = []

  afterEach(() => {
    for (const port of ports.splice(0)) {
      port.close()
    }
  })

  /** The memory as a thread sees it that begins now. */
  function from(store: MemoryStore): PageMemory {
    const { port1, port2 } = new MessageChannel()
    ports.push(port1, port2)
    new Channel<DeviceCalls, PageCalls>(port1, {
      sign: () => [],
      startHashes: () => undefined,
      endHashes: () => undefined,
      lost: () => undefined,
      warn: () => undefined,
      recall: ({ sha256, offset }) => store.read(sha256, offset),
      remember: ({ sha256, offset, bytes }) => store.write(sha256, offset, bytes),
      complete: (record) => store.finish(record),
      forget: (sha256) => {
        store.delete(sha256)
        return undefined
      },
    })
    const thread = new Channel<PageCalls, Pick<DeviceCalls, never>>(port2, {})
    port1.start()
    port2.start()
    return new PageMemory(
      thread,
      store.list().map(({ sha256 }) => sha256),
    )
  }

  it('shouldOutliveTheThreadThatFillsIt', async () => {
    const store = new MemoryStore()
    const first = from(store)
    const written = await first.open('a')
    expect(written.whole).toBe(false)
    for (const part of PARTS) {
      await written.write(part, new Uint8Array(part.bytes).fill(part.offset + 1))
    }
    await written.finish(RECORD, signal)
    expect(await first.has('a')).toBe(true)
    const second = from(store)
    const read = await second.open('a')
    expect(read.whole).toBe(true)
    expect(await read.read(PARTS[1] as (typeof PARTS)[1])).toEqual(Uint8Array.of(5, 5))
    await second.delete('a')
    expect(await second.has('a')).toBe(false)
    expect(store.list()).toEqual([])
  })

  it('shouldMissWhatThePageHasCleared', async () => {
    const store = new MemoryStore()
    const memory = from(store)
    const written = await memory.open('a')
    for (const part of PARTS) {
      await written.write(part, new Uint8Array(part.bytes))
    }
    store.clear()
    await written.finish(RECORD, signal)
    expect(await memory.has('a')).toBe(false)
    expect(await (await memory.open('a')).read(PARTS[0] as (typeof PARTS)[0])).toBeUndefined()
  })

  it('shouldNotKeepTheRestOfAShardDuringWhichThePageWasCleared', async () => {
    const store = new MemoryStore()
    const memory = from(store)
    const written = await memory.open('a')
    const [first, rest] = PARTS as [(typeof PARTS)[0], (typeof PARTS)[0]]
    await written.write(first, new Uint8Array(first.bytes))
    store.clear()
    await written.write(rest, new Uint8Array(rest.bytes))
    await written.finish(RECORD, signal)
    expect(await memory.has('a')).toBe(false)
    expect(store.read('a', rest.offset)).toBeUndefined()
  })
})
