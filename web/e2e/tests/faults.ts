import type { BrowserContext, CDPSession, Page } from 'playwright-core'
import type { ConnectOptions } from 'splitcompute'
import { expect } from 'vitest'
import type { Fault, FaultProxy } from './fault-proxy.ts'
import {
  burst,
  clearKept,
  hide,
  listKept,
  progress,
  removeFiles,
  waitForAnswers,
  waitForBytes,
  waitForCut,
  waitForFallback,
  waitForReason,
  waitForUnit,
} from './harness.ts'
import { destroyGpu, destroyGpuMidRun, killWorker, spoilGpu, stallGpu } from './workers.ts'

/** A page that embeds, four times a second, while something breaks. */
export interface Place {
  readonly page: Page
  readonly context: BrowserContext
  readonly proxy: FaultProxy
  /** Units that the page loads. */
  readonly units: number
}

export interface FaultCase {
  readonly name: string
  /** Whether the weights come from the disk; from the network where it is left out. */
  readonly warm?: boolean
  /** How many times one client lives through it, one after the other; once where it is left out. */
  readonly times?: number
  /** Breaks what breaks as the page connects. */
  readonly before?: (place: Place) => Promise<void> | void
  /** Breaks something while the page embeds. */
  readonly during?: (place: Place) => Promise<void>
  /** Mends what would not mend itself. */
  readonly after?: (place: Place) => Promise<void>
  readonly options?: Partial<ConnectOptions>
  /** The cut that is reached in the end; 0 where it is left out. */
  readonly cut?: number
}

/** One of three layers of gpt2-plain in f32, beside the workspace. */
const MEMORY_OF_ONE_LAYER = 1_100_000

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const moment = (most: number) => pause(Math.random() * most)
const BETWEEN_EMBEDS_MS = 250
/** After so many answers of the device alone no canary runs any more, which a fault might meet instead of an embed. */
const SETTLED = 4
/** Any moment between two embeds. */
const anyMoment = () => moment(BETWEEN_EMBEDS_MS)
/** What an embed says that was on a device when that was destroyed. */
const DESTROYED = 'Device was destroyed'
/** So slow that a shard of gpt2-plain takes about a second. */
export const BYTES_PER_SECOND = 120_000

/** Waits until a random share of the bytes is here, from a network that is slow meanwhile. */
export async function waitWhileShardsLoad({ page, proxy }: Pick<Place, 'page' | 'proxy'>): Promise<void> {
  expect(await waitForBytes(page, Math.random() * 0.7)).toBeLessThan(1)
  proxy.bytesPerSecond = undefined
}

const slowNetwork = ({ proxy }: Place) => {
  proxy.bytesPerSecond = BYTES_PER_SECOND
}

/** The shard of one of the units goes wrong. */
function shard(name: string, fault: Fault): FaultCase {
  return {
    name,
    before: ({ proxy, units }) => proxy.plan('shard', fault, { skip: Math.floor(Math.random() * units) }),
  }
}

/** Requests to the head go wrong, so many of them, while the device has too little memory to do without it. */
function head(name: string, fault: Fault, requests: number): FaultCase {
  return {
    name,
    options: { memory: MEMORY_OF_ONE_LAYER },
    cut: 2,
    times: 10,
    during: async ({ proxy, page }) => {
      await waitForCut(page, 2)
      await anyMoment()
      proxy.plan('embed', fault, { times: requests })
      while (!proxy.done) {
        await pause(20)
      }
    },
  }
}

const quotas = new WeakMap<Page, CDPSession>()

/** A quota lasts as long as the session that set it. */
async function setQuota({ context, page, proxy }: Place, bytes: number): Promise<void> {
  const devtools = await context.newCDPSession(page)
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: proxy.url, quotaSize: bytes })
  quotas.set(page, devtools)
}

async function liftQuota({ page, proxy }: Place): Promise<void> {
  const devtools = quotas.get(page)
  await devtools?.send('Storage.overrideQuotaForOrigin', { origin: proxy.url })
  await devtools?.detach()
}

/** Faults that a page lives through without being reloaded. */
export const faults: readonly FaultCase[] = [
  shard('connection cut in the middle of a part', { cut: true }),
  shard('part corrupted', { corrupt: true }),
  shard('S3 slow: 10 KB/s for 2 s', { slow: true }),
  shard('S3 answers 403', { status: 403 }),
  shard('S3 answers 500', { status: 500 }),
  shard('S3 answers 503', { status: 503, retryAfter: 1 }),
  shard('shard URL expired', { expired: true }),
  head('head answers 429', { status: 429, retryAfter: 1 }, 3),
  head('head answers 500', { status: 500 }, 3),
  head('head does not answer one request', { silent: true }, 1),
  {
    name: 'GPU device destroyed while shards load',
    before: slowNetwork,
    during: async (place) => {
      await waitWhileShardsLoad(place)
      await destroyGpu(place.page)
    },
  },
  {
    name: 'GPU device destroyed while requests run',
    warm: true,
    // The third time it would be left alone.
    times: 2,
    during: async ({ page }) => {
      await waitForAnswers(page, 0, SETTLED)
      await destroyGpuMidRun(page, Math.random() * BETWEEN_EMBEDS_MS)
      await waitForFallback(page, DESTROYED)
    },
  },
  {
    name: 'GPU device destroyed while the network is offline',
    warm: true,
    times: 2,
    during: async ({ page, proxy }) => {
      await waitForAnswers(page, 0, SETTLED)
      await anyMoment()
      // At this cut, the device needs no network.
      proxy.offline = true
      proxy.breakConnections()
      await destroyGpuMidRun(page, Math.random() * BETWEEN_EMBEDS_MS)
      await waitForFallback(page, DESTROYED)
      await moment(1_000)
      proxy.offline = false
    },
  },
  {
    name: 'result kept back for 3 s by a slow GPU',
    warm: true,
    times: 10,
    during: async ({ page }) => {
      await waitForCut(page, 0)
      await anyMoment()
      await stallGpu(page, 3_000)
      await waitForReason(page, 'The device was slow.')
    },
  },
  {
    name: 'result that is not finite',
    warm: true,
    times: 10,
    during: async ({ page }) => {
      await waitForAnswers(page, 0, SETTLED)
      await anyMoment()
      await spoilGpu(page)
      await waitForReason(page, 'not finite')
    },
  },
  {
    name: 'canary that comes out wrong',
    warm: true,
    during: async ({ page }) => {
      await waitForBytes(page, Math.random())
      await spoilGpu(page)
    },
  },
  {
    name: 'more embeds at once than the device is quick with',
    warm: true,
    times: 10,
    during: async ({ page }) => {
      // By then it is known how fast either side is.
      await waitForAnswers(page, 0, SETTLED)
      await burst(page)
      await waitForReason(page, 'The device is busy.')
    },
  },
  {
    name: 'page hidden',
    warm: true,
    times: 10,
    during: async ({ page }) => {
      await waitForCut(page, 0)
      await anyMoment()
      await hide(page, true)
      await waitForReason(page, 'The page is hidden.')
      await pause(300)
      await hide(page, false)
    },
  },
  {
    name: 'worker killed',
    warm: true,
    times: 5,
    during: async ({ page }) => {
      await waitForCut(page, 2)
      await anyMoment()
      await killWorker(page)
    },
  },
  {
    name: 'network offline for 1.5 s',
    during: async ({ proxy }) => {
      await moment(1_000)
      proxy.offline = true
      proxy.breakConnections()
      await pause(1_500)
      proxy.offline = false
    },
  },
  {
    name: 'storage cleared behind the page’s back',
    before: slowNetwork,
    during: async (place) => {
      // The first unit is small and soon whole; what is being written cannot be removed.
      await waitForUnit(place.page, 'final')
      await waitWhileShardsLoad(place)
      expect(await removeFiles(place.page)).toBeGreaterThan(0)
    },
  },
  {
    name: 'disk full',
    before: (place) => setQuota(place, 100_000),
    during: async ({ page }) => {
      await waitForCut(page, 0)
      expect((await progress(page)).warning).toContain('the disk is full')
      expect((await listKept(page)).map(({ where }) => where)).toContain('memory')
      await clearKept(page)
      expect(await listKept(page)).toEqual([])
    },
    after: liftQuota,
  },
]
