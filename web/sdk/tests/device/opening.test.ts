import { afterEach, describe, expect, it, vi } from 'vitest'
import { Channel } from '../../src/device/channel'
import { DeviceServer } from '../../src/device/device-server'
import type { DeviceCalls, PageCalls } from '../../src/device/protocol'
import { readManifest } from '../support/store'

const refuse = () => {
  throw new Error('Nothing is kept here.')
}

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('a device that is opened', () => {
  it('shouldLeaveNothingOnItsWayWhereThereIsNoGpu', async () => {
    const manifest = readManifest('gpt2-plain')
    const { port1, port2 } = new MessageChannel()
    let offer: (adapter: null) => void = () => undefined
    const requestAdapter = () =>
      new Promise<null>((resolve) => {
        offer = resolve
      })
    vi.stubGlobal('navigator', { gpu: { requestAdapter }, storage: {}, locks: undefined })
    let asked: (signal: AbortSignal) => void = () => undefined
    const signing = new Promise<AbortSignal>((resolve) => {
      asked = resolve
    })
    const page = new Channel<DeviceCalls, PageCalls>(port1, {
      sign: (_, { signal }) => {
        asked(signal)
        return new Promise(() => undefined)
      },
      startHashes: () => undefined,
      endHashes: () => undefined,
      lost: () => undefined,
      warn: () => undefined,
      recall: refuse,
      remember: refuse,
      complete: refuse,
      forget: refuse,
    })
    new DeviceServer(port2)
    port1.start()
    port2.start()
    try {
      const opening = page.call('open', {
        manifest,
        revision: '',
        dtype: 'f32',
        memory: Number.POSITIVE_INFINITY,
        download: Number.POSITIVE_INFINITY,
        units: ['final', 'layer.0'],
        remembered: [],
      })
      const signal = await signing
      expect(signal.aborted).toBe(false)

      offer(null)

      await expect(opening).rejects.toMatchObject({ code: 'no_webgpu' })
      await vi.waitFor(() => expect(signal.aborted).toBe(true))
    } finally {
      port1.close()
      port2.close()
    }
  })
})
