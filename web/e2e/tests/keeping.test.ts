import type { Browser, BrowserContext, Page, Worker } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { FaultProxy } from './fault-proxy.ts'
import {
  clearKept,
  clearStorage,
  close,
  connect,
  cosine,
  damagedFiles,
  embed,
  listKept,
  open,
  progress,
  sources,
  waitForCut,
  waitForUnit,
} from './harness.ts'
import { LocalCloud } from './local-cloud.ts'
import { GPT2_PLAIN } from './oracle.ts'
import { digestsOf, hashWorker, held, newestWorker } from './workers.ts'

const PART_BYTES = 4 * 1024 * 1024
/** The worker that the one file brings. */
const inlined = { workerUrl: undefined }

describe('the SDK in a page', () => {
  let cloud: LocalCloud
  let proxy: FaultProxy
  let browser: Browser
  let context: BrowserContext
  let page: Page

  beforeAll(async () => {
    cloud = await LocalCloud.start({}, ['bookworm', GPT2_PLAIN])
    browser = await launchBrowser({ webgpu: true })
  })

  beforeEach(async () => {
    proxy = await FaultProxy.start(cloud.url)
    context = await browser.newContext()
    page = await context.newPage()
    await open(page, proxy.url)
  })

  afterEach(async () => {
    await context.close()
    await proxy.stop()
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
  })

  /** The one that hashes ends with the last download. */
  const expectWorkers = (urls: unknown[]) =>
    expect.poll(() => page.workers().map((worker) => worker.url()), { timeout: 10_000 }).toEqual(urls)
  const shards = () => proxy.seen.filter(({ kind }) => kind === 'shard')

  describe('keeps shards', () => {
    it('shouldStartWarmWithoutANetworkAndEmbedATextAlone', async () => {
      await connect(page, { model: 'bookworm', dtype: 'f16', ...inlined })
      await waitForCut(page, 0)
      const before = await embed(page, 'Rain fell.', { cut: 8 })
      // The tokenizer comes when all layers are here.
      await expect
        .poll(async () => (await embed(page, 'Rain fell.')).bytes, { timeout: 20_000 })
        .toEqual({ sent: 0, received: 0 })
      await close(page)
      proxy.offline = true
      await connect(page, { model: 'bookworm', dtype: 'f16', ...inlined })
      await waitForCut(page, 0)
      expect(new Set(Object.values(await sources(page)))).toEqual(new Set(['disk']))
      const alone = await embed(page, 'Rain fell.')
      expect(alone.cut).toBe(0)
      expect(alone.embedding.length).toBe(before.embedding.length)
      for (const [i, value] of alone.embedding.entries()) {
        expect(Math.abs(value - (before.embedding[i] ?? 0))).toBeLessThan(2e-3)
      }
    })

    it('shouldGoOnAtTheLastVerifiedPartAfterAReload', async () => {
      // The embeddings come last: nine parts of others before them, then one of their own and a half.
      proxy.plan('shard', { hold: PART_BYTES * 1.5 }, { skip: 9 })
      await connect(page, { model: 'bookworm', dtype: 'f32' })
      await expect
        .poll(async () => (await progress(page)).loadedOf.embeddings, { timeout: 30_000 })
        .toBeGreaterThan(PART_BYTES)
      await page.waitForTimeout(500)
      const before = shards().length
      const held = shards().at(-1)?.path
      await open(page, proxy.url)
      await connect(page, { model: 'bookworm', dtype: 'f32' })
      await waitForCut(page, 0)
      const again = shards()
        .slice(before)
        .filter(({ path }) => path === held)
      expect(again.map(({ range }) => range)).toEqual([`bytes=${PART_BYTES}-`])
      expect((await sources(page)).embeddings).toBe('network')
    })

    it('shouldForgetAShardThatItsCanaryRefutesAndLoadItAnew', async () => {
      await connect(page)
      await waitForCut(page, 0)
      await close(page)
      const damaged = await page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('splitcompute')
        for await (const [name, handle] of folder.entries()) {
          if (name.endsWith('.json')) {
            const record = JSON.parse(await (await (handle as FileSystemFileHandle).getFile()).text()) as {
              unit: string
              sha256: string
              bytes: number
            }
            if (record.unit === 'layer.1') {
              const file = await folder.getFileHandle(`${record.sha256}.safetensors`)
              const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer())
              // Every other weight of the second half is lost.
              for (let i = bytes.length >> 1; i < bytes.length - 8; i += 8) {
                bytes.fill(0, i, i + 4)
              }
              const writable = await file.createWritable()
              await writable.write(bytes)
              await writable.close()
              return record.unit
            }
          }
        }
        return ''
      })
      expect(damaged).toBe('layer.1')
      const before = shards().length
      await connect(page)
      await waitForCut(page, 0)
      expect(shards().length - before).toBe(1)
      expect(await sources(page)).toMatchObject({
        'layer.1': 'network',
        'layer.2': 'disk',
        'layer.0': 'disk',
      })
    })

    it('shouldListAndClearWhatIsKept', async () => {
      await connect(page)
      await waitForCut(page, 0)
      const kept = await listKept(page)
      expect(kept.map(({ unit }) => unit).sort()).toEqual([
        'embeddings',
        'final',
        'layer.0',
        'layer.1',
        'layer.2',
      ])
      expect(new Set(kept.map(({ where }) => where))).toEqual(new Set(['disk']))
      await clearKept(page)
      expect(await listKept(page)).toEqual([])
      await close(page)
      await connect(page)
      await waitForCut(page, 0)
      expect(new Set(Object.values(await sources(page)))).toEqual(new Set(['network']))
    })

    it('shouldDownloadEachShardOnceForTwoTabs', async () => {
      const other = await context.newPage()
      await open(other, proxy.url)
      await Promise.all([connect(page), connect(other)])
      await Promise.all([waitForCut(page, 0), waitForCut(other, 0)])
      expect(new Set(shards().map(({ path }) => path)).size).toBe(5)
      expect(shards()).toHaveLength(5)
    })

    it('shouldLeaveNothingOpenAndNoBufferBehind', async () => {
      await connect(page)
      await waitForCut(page, 0)
      await embed(page, [1, 2, 3])
      // The one that hashes ends with the last download.
      const atRest = [{ worker: 'splitcompute', buffers: expect.any(Number), handles: 0 }]
      await expect.poll(() => held(page), { timeout: 10_000 }).toEqual(atRest)
      const before = await held(page)
      for (let i = 0; i < 30; i++) {
        await embed(page, [1, 2, 3])
      }
      expect(await held(page)).toEqual(before)
      await close(page)
      await expectWorkers([])
      // A file that was still open could not be removed.
      await clearStorage(page)
      const left = await page.evaluate(async () => {
        const names: string[] = []
        for await (const name of (await navigator.storage.getDirectory()).keys()) {
          names.push(name)
        }
        return names
      })
      expect(left).toEqual([])
    })
  })

  describe('hashes in a worker of its own', () => {
    it.each([
      { what: 'ends', fault: () => self.close() },
      {
        what: 'falls silent',
        fault: () => {
          MessagePort.prototype.postMessage = () => undefined
        },
      },
    ])('shouldLoadEveryShardOnceThoughThatOne: $what', async ({ fault }) => {
      // A shard takes about three seconds. A model without a tokenizer: the device's worker itself would hash that.
      proxy.bytesPerSecond = 40_000
      // Two that end together leave a moment without downloads, and thus without a worker that hashes.
      proxy.plan('shard', { slow: true }, { skip: 1 })
      await connect(page)
      // It may well be hashed before that worker is ready, and there may be another one for those after it.
      await waitForUnit(page, 'final')
      let hashing = await hashWorker(page)
      const device = await newestWorker(page)
      // Until it is ready, parts are hashed by the device's worker, which then would not miss it.
      const digests = async () => {
        hashing = await hashWorker(page)
        return await digestsOf(hashing).catch(() => 0)
      }
      await expect.poll(digests, { timeout: 20_000 }).toBeGreaterThan(0)
      const before = await digestsOf(device)
      const begun: Worker[] = []
      page.on('worker', (worker) => begun.push(worker))
      await hashing.evaluate(fault)
      await waitForCut(page, 0)
      // It was given up, and no other one was begun.
      expect(await digestsOf(device)).toBeGreaterThan(before)
      expect(begun).toEqual([])
      const { embedding } = await embed(page, [1, 2, 3], { cut: 0 })
      const expected = await embed(page, [1, 2, 3], { cut: 3 })
      expect(cosine(embedding, expected.embedding)).toBeGreaterThan(0.9999)
      const paths = shards().map(({ path }) => path)
      expect(new Set(paths).size).toBe(paths.length)
      expect(await damagedFiles(page)).toEqual([])
    })

    it('shouldEndWithAPageThatIsClosedWhileItLoads', async () => {
      proxy.plan('shard', { hold: 1_000 }, { times: 100 })
      for (let i = 0; i < 5; i++) {
        await connect(page)
        await hashWorker(page)
        await close(page)
      }
      await expectWorkers([])
    })
  })

  describe('runs', () => {
    it('shouldRunInAWorkerThatTheOneFileBrings', async () => {
      await connect(page, inlined)
      await waitForCut(page, 0)
      await expectWorkers([expect.stringMatching(/^blob:/)])
    })

    it('shouldRunByWorkerUrlWhereThePageForbidsBlobs', async () => {
      await open(page, `${proxy.url}/?policy=${encodeURIComponent("worker-src 'self'")}`)
      await connect(page, { workerUrl: '/sdk/splitcompute-worker.js' })
      await waitForCut(page, 0)
      await expectWorkers([`${proxy.url}/sdk/splitcompute-worker.js`])
    })

    it('shouldRunOnTheMainThreadWhereThePageForbidsWorkers', async () => {
      const policy = "worker-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'"
      await open(page, `${proxy.url}/?policy=${encodeURIComponent(policy)}`)
      await connect(page, inlined)
      await waitForCut(page, 0)
      expect(page.workers()).toEqual([])
      expect((await embed(page, [1, 2, 3])).cut).toBe(0)
      await close(page)
      // There, shards are kept by the Cache API.
      await connect(page, inlined)
      await waitForCut(page, 0)
      expect(new Set(Object.values(await sources(page)))).toEqual(new Set(['disk']))
    })

    it('shouldRunOnTheMainThreadWhereWorkersHaveNoWebGpu', async () => {
      await connect(page, { workerUrl: '/blind-worker.js' })
      await waitForCut(page, 0)
      expect((await embed(page, [1, 2, 3])).cut).toBe(0)
      expect(page.workers()).toEqual([])
    })
  })
})
