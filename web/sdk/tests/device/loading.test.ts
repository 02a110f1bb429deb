import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { ApiClient } from '../../src/client/api-client'
import { Cloud } from '../../src/client/cloud'
import { loadOrder } from '../../src/client/units'
import type { Device } from '../../src/device'
import { openDevice } from '../../src/device/open'
import { MemoryStore } from '../../src/shards/store/memory-store'
import { FakeCloud } from '../support/fake-cloud'
import { shardPath } from '../support/session'
import { readManifest } from '../support/store'
import { installWebGpu } from '../support/webgpu'

const { signal } = new AbortController()
const ignore = () => undefined

beforeAll(installWebGpu)

describe('a device', () => {
  const clouds: FakeCloud[] = []
  const devices: Device[] = []

  afterEach(async () => {
    await Promise.all(devices.splice(0).map((device) => device.close()))
    await Promise.all(clouds.splice(0).map((cloud) => cloud.stop()))
  })

  async function start(
    model: string,
  ): Promise<{ cloud: FakeCloud; open: (until?: AbortSignal) => Promise<Device>; spare: MemoryStore }> {
    const cloud = await FakeCloud.start(model)
    clouds.push(cloud)
    const spare = new MemoryStore()
    const manifest = readManifest(model)
    const open = async (until = signal) => {
      const device = await openDevice(
        {
          manifest,
          revision: cloud.revision,
          dtype: 'f32',
          memory: Number.POSITIVE_INFINITY,
          download: Number.POSITIVE_INFINITY,
          units: loadOrder(manifest),
          sign: new Cloud(new ApiClient(cloud.url), model).sign,
          onWarning: ignore,
          spare,
        },
        until,
      )
      devices.push(device)
      return device
    }
    return { cloud, open, spare }
  }

  it('shouldDownloadWhatThePageHasForgottenSinceItWasOpened', async () => {
    const { cloud, open, spare } = await start('bert-mean')
    const first = await open()
    await first.load('layer.0', ignore, signal)
    const tokenizer = await first.tokenizer(signal)
    const second = await open()
    await first.close()
    spare.clear()
    cloud.requests.splice(0)
    expect(await second.load('layer.0', ignore, signal)).toMatchObject({ from: 'network' })
    expect(await second.tokenizer(signal)).toEqual(tokenizer)
    expect(cloud.seen('/s3/shards/')).toHaveLength(2)
  })

  it('shouldLeaveNothingBehindWhenItIsNotWantedAnyMoreWhileItOpens', async () => {
    const { open } = await start('gpt2-plain')
    const adapter = await navigator.gpu.requestAdapter()
    if (adapter === null) {
      throw new Error('Dawn found no adapter.')
    }
    const request = adapter.requestDevice.bind(adapter)
    const given: GPUDevice[] = []
    vi.spyOn(adapter, 'requestDevice').mockImplementation(async (descriptor) => {
      const gpu = await request(descriptor)
      vi.spyOn(gpu, 'destroy')
      given.push(gpu)
      return gpu
    })
    let offer: (offered: GPUAdapter) => void = () => undefined
    const offered = new Promise<GPUAdapter>((resolve) => {
      offer = resolve
    })
    const asked = vi.spyOn(navigator.gpu, 'requestAdapter').mockReturnValue(offered)
    try {
      const controller = new AbortController()
      const opening = expect(open(controller.signal)).rejects.toThrow('Enough.')
      await vi.waitFor(() => expect(asked).toHaveBeenCalled(), 10_000)
      controller.abort(new Error('Enough.'))
      await opening
      offer(adapter)
      await vi.waitFor(() => expect(given).toHaveLength(1), 10_000)
      await vi.waitFor(() => expect(given[0]?.destroy).toHaveBeenCalled())
    } finally {
      asked.mockRestore()
      for (const gpu of given) {
        gpu.destroy()
      }
    }
  })

  describe('that has no layer yet', () => {
    /** The unit above the layers has arrived, and a layer is on its way until the test answers for it. */
    async function loadBehindALayer() {
      const { cloud, open } = await start('gpt2-plain')
      const answers: (() => void)[] = []
      cloud.faults.push(({ path }, response) => {
        if (path !== shardPath('layer.2') || answers.length > 0) {
          return false
        }
        answers.push(() => response.destroy())
        return true
      })
      const device = await open()
      const proved: string[] = []
      const load = async (unit: string, until: AbortSignal) => {
        await device.load(unit, ignore, until)
        proved.push(unit)
      }
      const ending = { layer: new AbortController(), final: new AbortController() }
      const layer = load('layer.2', ending.layer.signal)
      const final = load('final', ending.final.signal)
      await vi.waitFor(() => expect(answers).toHaveLength(1))
      await vi.waitFor(() => expect(cloud.seen(shardPath('final'))).toHaveLength(1))
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect(proved).toEqual([])
      return { answers, proved, layer, final, ending }
    }

    it('shouldProveOtherUnitsOnceTheFirstLayerIsHere', async () => {
      const { answers, proved, layer, final } = await loadBehindALayer()
      answers[0]?.()
      await Promise.all([layer, final])
      expect(proved.sort()).toEqual(['final', 'layer.2'])
    })

    it('shouldProveThemWhenTheLayerDoesNotCome', async () => {
      const { proved, layer, final, ending } = await loadBehindALayer()
      const ended = expect(layer).rejects.toThrow('Enough.')
      ending.layer.abort(new Error('Enough.'))
      await Promise.all([ended, final])
      expect(proved).toEqual(['final'])
    })

    it('shouldLetGoOfALoadThatIsAbortedMeanwhile', async () => {
      const { answers, proved, layer, final, ending } = await loadBehindALayer()
      const ended = expect(final).rejects.toThrow('Enough.')
      ending.final.abort(new Error('Enough.'))
      await ended
      answers[0]?.()
      await layer
      expect(proved).toEqual(['layer.2'])
    })
  })
})
