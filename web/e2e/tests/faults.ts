import type { BrowserContext, CDPSession, Page } from 'playwright-core'
import type { ConnectOptions } from 'splitcompute'
import { expect } from 'vitest'
import type { Fault, FaultProxy } from './fault-proxy.ts'
import { clearStorage, destroyGpu, killWorker, progress, waitForCut } from './harness.ts'

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

/** The shard of one of the units goes wrong. */
function shard(name: string, fault: Fault): FaultCase {
  return {
    name,
    before: ({ proxy, units }) => proxy.plan('shard', fault, { skip: Math.floor(Math.random() * units) }),
  }
}

/** Requests to the head go wrong, while the device has too little memory to do without it. */
function head(name: string, fault: Fault): FaultCase {
  return {
    name,
    options: { memory: MEMORY_OF_ONE_LAYER },
    cut: 2,
    during: async ({ proxy, page }) => {
      await waitForCut(page, 2)
      await moment(500)
      proxy.plan('embed', fault, { times: 3 })
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
  head('head answers 429', { status: 429, retryAfter: 1 }),
  head('head answers 500', { status: 500 }),
  {
    name: 'GPU device destroyed while shards load',
    during: async ({ page }) => {
      await destroyGpu(page)
    },
  },
  {
    name: 'GPU device destroyed while requests run',
    warm: true,
    during: async ({ page }) => {
      await waitForCut(page, 0)
      await moment(500)
      await destroyGpu(page)
    },
  },
  {
    name: 'worker killed',
    warm: true,
    during: async ({ page }) => {
      await waitForCut(page, 2)
      await moment(500)
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
    during: async ({ page }) => {
      await moment(800)
      await clearStorage(page)
    },
  },
  {
    name: 'disk full',
    before: (place) => setQuota(place, 100_000),
    during: async ({ page }) => {
      await waitForCut(page, 0)
      expect((await progress(page)).warning).toContain('the disk is full')
    },
    after: liftQuota,
  },
]
