import { beforeAll, describe, expect, it } from 'vitest'
import type { OpenDevice } from '../../src/device'
import { openDevice } from '../../src/device/open'
import { notFinite } from '../../src/errors'
import type { FakeCloud } from '../support/fake-cloud'
import { failing } from '../support/fake-cloud'
import { cleanUpAfterEach, connect, SMALL, shardPath, startCloud } from '../support/session'
import { manifestBytes, shardBytes } from '../support/store'
import { difference } from '../support/tensors'
import { installWebGpu } from '../support/webgpu'

const TEXT = 'Nothing is lost.'

beforeAll(installWebGpu)
cleanUpAfterEach()

/** Flips a byte in the middle of a unit's shard, the first `times` times that it is fetched. */
function tamper(cloud: FakeCloud, unit: string, times: number): void {
  const path = shardPath(unit)
  const bytes = shardBytes(path.slice('/s3/shards/'.length))
  const middle = bytes.byteLength >> 1
  bytes[middle] = (bytes[middle] ?? 0) ^ 1
  cloud.faults.push(failing(path, times, (response) => response.end(bytes)))
}

/** Devices whose results are changed on their way to the client. */
function changing(change: (results: Float32Array[]) => Float32Array[]): OpenDevice {
  return async (options, opening) => {
    const device = await openDevice(options, opening)
    return {
      load: device.load.bind(device),
      check: device.check.bind(device),
      tokenizer: device.tokenizer.bind(device),
      run: async (batch, signal) => change(await device.run(batch, signal)),
      lost: device.lost,
      close: () => device.close(),
    }
  }
}

describe('a shard', () => {
  it('shouldBeRefusedAndTheCloudAnswerWhenItIsTampered', async () => {
    const cloud = await startCloud()
    tamper(cloud, 'layer.1', 100)
    const split = await connect(cloud)
    expect(await split.ready).toBe(2)
    expect(split.progress.reason).toBe(
      'The shard of layer.1 was refused: part 1 of 1 is not what the manifest names (its SHA-256 differs).',
    )
    expect(split.progress.units.find(({ name }) => name === 'layer.1')?.state).toBe('refused')
    expect(cloud.seen(shardPath('layer.1'))).toHaveLength(2)
    await expect(split.embed(TEXT, { cut: 1 })).resolves.toMatchObject({
      cut: 2,
      reason: expect.stringContaining('layer.1 was refused'),
    })
  })

  it('shouldLoadWhenOnlyItsFirstDownloadWasDamaged', async () => {
    const cloud = await startCloud()
    tamper(cloud, 'layer.1', 1)
    const split = await connect(cloud)
    expect(await split.ready).toBe(0)
    expect(split.progress.loaded).toBe(split.progress.total)
  })

  it('shouldLoadByANewUrlWhenItsUrlHasExpired', async () => {
    const cloud = await startCloud()
    let expired = false
    cloud.faults.push(({ path }) => {
      if (path === shardPath('layer.1') && !expired) {
        expired = true
        cloud.expireUrls()
      }
      return false
    })
    const split = await connect(cloud)
    expect(await split.ready).toBe(0)
    expect(cloud.seen('/v1/models/gpt2-plain/shards')).toHaveLength(2)
  })

  it('shouldGoOnWhereItStoppedReadingWhenTheConnectionBreaks', async () => {
    const cloud = await startCloud()
    const path = shardPath('layer.2')
    const bytes = shardBytes(path.slice('/s3/shards/'.length))
    cloud.faults.push(
      failing(path, 1, (response) => {
        response.writeHead(200, { 'Content-Length': bytes.byteLength })
        response.write(bytes.subarray(0, 70_000), () => setTimeout(() => response.destroy(), 50))
      }),
    )
    const split = await connect(cloud)
    expect(await split.ready).toBe(0)
    const [whole, rest] = cloud.seen(path).map(({ headers }) => headers.range)
    const start = Number(/^bytes=(\d+)-$/.exec(rest ?? '')?.[1])
    expect(whole).toBeUndefined()
    // What was on its way in the read that broke is fetched once more.
    expect(start).toBeGreaterThan(0)
    expect(start).toBeLessThanOrEqual(70_000)
  })

  it('shouldBeGivenUpWhenS3NeverAnswers', async () => {
    const cloud = await startCloud()
    cloud.faults.push(failing(shardPath('layer.2'), 100, (response) => response.destroy()))
    const split = await connect(cloud)
    expect(await split.ready).toBe(3)
    expect(split.progress.reason).toBe('The shard of layer.2 did not arrive: it could not be fetched.')
    await expect(split.embed(TEXT)).resolves.toMatchObject({ cut: 3 })
  })
})

/** Every GPU device that is opened while a test runs. */
async function withGpus(work: (gpus: readonly GPUDevice[]) => Promise<void>): Promise<void> {
  const gpus: GPUDevice[] = []
  const request = GPUAdapter.prototype.requestDevice
  GPUAdapter.prototype.requestDevice = async function (...parameters) {
    const device = await request.apply(this, parameters)
    gpus.push(device)
    return device
  }
  try {
    await work(gpus)
  } finally {
    GPUAdapter.prototype.requestDevice = request
  }
}

describe('the device', () => {
  it('shouldHandItsLayersBackWithinTheRequestWhenTheGpuIsLost', () =>
    withGpus(async (gpus) => {
      const split = await connect(await startCloud())
      await split.ready
      gpus[0]?.destroy()
      const answer = await split.embed(TEXT, { timeoutMs: 10_000 })
      expect(answer.embedding).toHaveLength(48)
      // It is asked for again, and loads again.
      await expect(split.embed(TEXT, { cut: 0, timeoutMs: 20_000 })).resolves.toMatchObject({ cut: 0 })
      expect(gpus).toHaveLength(2)
    }))

  it('shouldBeReplacedByTheCloudWhenItsResultIsNotFinite', async () => {
    const cloud = await startCloud()
    const split = await connect(
      cloud,
      {},
      changing(() => {
        throw notFinite()
      }),
    )
    await split.ready
    await expect(split.embed(TEXT)).resolves.toMatchObject({
      cut: 3,
      reason: 'The cloud answered: The GPU computed values that are not finite.',
    })
  })

  it('shouldBeReplacedByTheCloudForThoseInputsAloneThatAreNotFinite', async () => {
    const cloud = await startCloud()
    const split = await connect(
      cloud,
      {},
      changing((results) => results.map((result, i) => (i === 1 ? new Float32Array() : result))),
    )
    await split.ready
    const list = [[1, 2, 3], [4, 5], [6]]
    const expected = await split.embed(list, { cut: 3 })
    // As often as a device may compute wrong values before it is left alone, and once more.
    for (let i = 0; i < 4; i++) {
      cloud.requests.splice(0)
      const answers = await split.embed(list, { cut: 0 })
      for (const [j, { embedding }] of answers.entries()) {
        expect(difference(embedding, expected[j]?.embedding ?? [])).toBeLessThan(1e-4)
      }
      expect(answers[0]).toMatchObject({
        cut: 0,
        reason: 'The cloud answered 1 of 3: The GPU computed values that are not finite.',
      })
      const asked = cloud.seen('/v1/embed').map(({ body }) => (JSON.parse(body) as { input: unknown }).input)
      expect(asked).toEqual([[[4, 5]]])
    }
    expect(split.progress.phase).toBe('ready')
    expect(split.cut).toBe(0)
  })

  it('shouldHoldAllLayersWithinTheMemoryThatTheManifestNames', async () => {
    const { needs } = JSON.parse(new TextDecoder().decode(manifestBytes(SMALL))) as {
      needs: { f32: { memory: number[] } }
    }
    const [memory = 0] = needs.f32.memory
    const split = await connect(await startCloud(), { memory })
    expect(await split.ready).toBe(0)
    await expect(split.embed([1, 2, 3], { cut: 0 })).resolves.toMatchObject({ cut: 0 })
  })

  it('shouldAnswerAloneWhenTheCloudIsGone', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    await split.ready
    await cloud.stop()
    const { cut, reason } = await split.embed([1, 2, 3], { cut: 2 })
    expect(cut).toBe(0)
    expect(reason).toBe('The device answered alone: The cloud cannot be reached.')
  })
})

describe('the memory that keeps what the disk has no room for', () => {
  it('shouldBeListedAndSpareADownloadUntilItIsCleared', () =>
    withGpus(async (gpus) => {
      const cloud = await startCloud()
      const downloads = () => cloud.seen('/s3/shards/').length
      const split = await connect(cloud)
      await split.ready
      const units = split.progress.units.map(({ name }) => name)
      expect(downloads()).toBe(units.length)
      const kept = await split.storage.list()
      expect(kept.map(({ unit }) => unit).sort()).toEqual([...units].sort())
      expect(kept[0]).toMatchObject({ model: SMALL, dtype: 'f32', where: 'memory' })

      gpus[0]?.destroy()
      await split.embed([1], { cut: 0 })
      expect(downloads()).toBe(units.length)

      await split.storage.clear()
      expect(await split.storage.list()).toEqual([])
      gpus[1]?.destroy()
      await split.embed([1], { cut: 0 })
      expect(downloads()).toBe(2 * units.length)
    }))
})

describe('the model', () => {
  it('shouldBeLeftToTheCloudOnceItIsPublishedAnew', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    await split.ready
    cloud.revision = '0'.repeat(64)
    await expect(split.embed(TEXT, { cut: 1 })).resolves.toMatchObject({
      cut: 3,
      reason: expect.stringContaining('published anew'),
    })
    expect(split.cut).toBe(3)
  })
})

describe('ready', () => {
  it('shouldRejectWhenClosedBeforeAllIsLoaded', async () => {
    const cloud = await startCloud()
    cloud.faults.push(({ path }) => path.startsWith('/s3/'))
    const split = await connect(cloud)
    const rejection = expect(split.ready).rejects.toMatchObject({ code: 'closed' })
    await split.close()
    await rejection
  })
})
