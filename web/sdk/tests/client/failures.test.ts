import { beforeAll, describe, expect, it } from 'vitest'
import { openDevice } from '../../src/device/open'
import type { FakeCloud } from '../support/fake-cloud'
import { failing } from '../support/fake-cloud'
import { cleanUpAfterEach, connect, shardPath, startCloud } from '../support/session'
import { shardBytes } from '../support/store'
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

describe('the device', () => {
  it('shouldHandItsLayersBackWithinTheRequestWhenTheGpuIsLost', async () => {
    const cloud = await startCloud()
    const gpus: GPUDevice[] = []
    const request = GPUAdapter.prototype.requestDevice
    GPUAdapter.prototype.requestDevice = async function (...parameters) {
      const device = await request.apply(this, parameters)
      gpus.push(device)
      return device
    }
    try {
      const split = await connect(cloud)
      await split.ready
      gpus[0]?.destroy()
      const answer = await split.embed(TEXT, { timeoutMs: 10_000 })
      expect(answer.embedding).toHaveLength(48)
      // It is asked for again, and loads again.
      await expect(split.embed(TEXT, { cut: 0, timeoutMs: 20_000 })).resolves.toMatchObject({ cut: 0 })
      expect(gpus).toHaveLength(2)
    } finally {
      GPUAdapter.prototype.requestDevice = request
    }
  })

  it('shouldBeReplacedByTheCloudWhenItsResultIsNotFinite', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud, {}, async (options, opening) => {
      const device = await openDevice(options, opening)
      const run: typeof device.run = async (batch, signal) => {
        const { SplitComputeError } = await import('../../src/errors')
        await device.run(batch, signal)
        throw new SplitComputeError('wrong_result', 'The GPU computed values that are not finite.')
      }
      return {
        load: device.load.bind(device),
        check: device.check.bind(device),
        tokenizer: device.tokenizer.bind(device),
        run,
        lost: device.lost,
        close: () => device.close(),
      }
    })
    await split.ready
    await expect(split.embed(TEXT)).resolves.toMatchObject({
      cut: 3,
      reason: 'The cloud answered: The GPU computed values that are not finite.',
    })
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
