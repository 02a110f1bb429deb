import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchProfile } from './browser.ts'
import { type Fault, FaultProxy, type Kind } from './fault-proxy.ts'
import {
  clearStorage,
  close,
  connect,
  cosine,
  destroyGpu,
  killWorker,
  type Outcome,
  open,
  startEmbedding,
  stopEmbedding,
  waitForCut,
} from './harness.ts'
import { LocalCloud } from './local-cloud.ts'
import { GPT2_PLAIN, oracle } from './oracle.ts'

const PROVE = process.env.SPLITCOMPUTE_PROVE === '1'
const RUNS = PROVE ? 50 : 2
/** Rounds after which a page is opened anew. */
const ROUNDS_A_PAGE = 10
const COSINE = 0.999
const UNITS = 5

/** One round's place: a page that embeds, four times a second, while something breaks. */
interface Place {
  readonly page: Page
  readonly context: BrowserContext
  readonly proxy: FaultProxy
}

interface Case {
  readonly name: string
  /** Whether the weights come from the network or from the disk; the network where it is left out. */
  readonly warm?: boolean
  /** Breaks something while the page embeds; what it returns mends it. */
  readonly inject: (place: Place) => Promise<void>
  readonly mend?: (place: Place) => Promise<void>
  /** The cut that is reached in the end; 0 where it is left out. */
  readonly cut?: number
}

interface Row {
  readonly fault: string
  runs: number
  embeds: number
  lost: number
  wrong: number
  rejected: number
  readonly cuts: Record<string, number>
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const moment = (most: number) => pause(Math.random() * most)

/** Plans a fault for one of the requests of a load, or for the next embed. */
function planned(name: string, kind: Kind, fault: Fault, times = 1): Case {
  return {
    name,
    inject: async ({ proxy }) => {
      if (kind === 'embed') {
        await moment(1_000)
      } else if (kind === 'shard') {
        // Any of the units: those before it come whole.
        await passing(proxy, Math.floor(Math.random() * UNITS))
      }
      proxy.plan(kind, fault, times)
    },
  }
}

async function passing(proxy: FaultProxy, shards: number): Promise<void> {
  const shardsSeen = () => proxy.seen.filter(({ kind }) => kind === 'shard').length
  const before = shardsSeen()
  for (let waited = 0; shardsSeen() - before < shards && waited < 1_000; waited += 5) {
    await pause(5)
  }
}

const cases: Case[] = [
  planned('connection cut in the middle of a part', 'shard', { cut: true }),
  planned('part corrupted', 'shard', { corrupt: true }),
  planned('S3 slow: 10 KB/s for 2 s', 'shard', { slow: true }),
  planned('S3 answers 403', 'shard', { status: 403 }),
  planned('S3 answers 500', 'shard', { status: 500 }),
  planned('S3 answers 503', 'shard', { status: 503, retryAfter: 1 }),
  planned('shard URL expired', 'shard', { expired: true }),
  planned('head answers 429', 'embed', { status: 429, retryAfter: 1 }, 3),
  planned('head answers 500', 'embed', { status: 500 }, 3),
  {
    name: 'GPU device destroyed while shards load',
    inject: async ({ page }) => {
      await moment(600)
      await destroyGpu(page)
    },
  },
  {
    name: 'GPU device destroyed while requests run',
    warm: true,
    inject: async ({ page }) => {
      await waitForCut(page, 0)
      await moment(500)
      await destroyGpu(page)
    },
  },
  {
    name: 'worker killed',
    warm: true,
    inject: async ({ page }) => {
      await moment(1_000)
      await killWorker(page)
    },
  },
  {
    name: 'network offline for 1.5 s',
    inject: async ({ proxy }) => {
      await moment(1_000)
      proxy.offline = true
      proxy.breakConnections()
      await pause(1_500)
      proxy.offline = false
    },
  },
  {
    name: 'storage cleared behind the page’s back',
    inject: async ({ page }) => {
      await moment(800)
      await clearStorage(page)
    },
  },
  {
    name: 'disk full',
    inject: async ({ context, page, proxy }) => {
      const devtools = await context.newCDPSession(page)
      await devtools.send('Storage.overrideQuotaForOrigin', { origin: proxy.url, quotaSize: 100_000 })
      await devtools.detach()
    },
    mend: async ({ context, page, proxy }) => {
      const devtools = await context.newCDPSession(page)
      await devtools.send('Storage.overrideQuotaForOrigin', { origin: proxy.url })
      await devtools.detach()
    },
  },
]

const { inputs, embeddings } = oracle()
const rows: Row[] = []

function judge(row: Row, { asked, outcomes }: { asked: number; outcomes: readonly Outcome[] }): void {
  row.runs++
  row.embeds += asked
  row.lost += asked - outcomes.length
  for (const { input, embedding, cut, code } of outcomes) {
    if (embedding === undefined) {
      row.rejected++
      row.cuts[`error ${code}`] = (row.cuts[`error ${code}`] ?? 0) + 1
    } else {
      row.wrong += cosine(embedding, embeddings[input] ?? []) > COSINE ? 0 : 1
      row.cuts[String(cut)] = (row.cuts[String(cut)] ?? 0) + 1
    }
  }
}

function newRow(fault: string): Row {
  const row = { fault, runs: 0, embeds: 0, lost: 0, wrong: 0, rejected: 0, cuts: {} }
  rows.push(row)
  return row
}

function expectNoneLost({ lost, wrong, rejected, embeds }: Row): void {
  expect({ lost, wrong, rejected }).toEqual({ lost: 0, wrong: 0, rejected: 0 })
  expect(embeds).toBeGreaterThan(0)
}

describe('a storm', () => {
  let cloud: LocalCloud
  let proxy: FaultProxy
  let context: BrowserContext
  let profile: string

  beforeAll(async () => {
    cloud = await LocalCloud.start({}, [GPT2_PLAIN])
    proxy = await FaultProxy.start(cloud.url)
    profile = mkdtempSync(join(tmpdir(), 'splitcompute-'))
    context = await launchProfile(profile)
  })

  afterAll(async () => {
    await context?.close()
    await proxy?.stop()
    await cloud?.stop()
    rmSync(profile, { recursive: true, force: true })
    if (PROVE) {
      const folder = new URL('../../../docs/proofs/', import.meta.url)
      mkdirSync(folder, { recursive: true })
      writeFileSync(
        new URL('storm.json', folder),
        `${JSON.stringify({ model: 'gpt2-plain', rows }, null, 2)}\n`,
      )
    }
  })

  /** A page for a few rounds; nothing of it may be left once it is closed. */
  async function inPage(rounds: number, round: (page: Page) => Promise<void>): Promise<void> {
    for (let done = 0; done < rounds; ) {
      const page = await context.newPage()
      await open(page, proxy.url)
      for (let i = 0; i < ROUNDS_A_PAGE && done < rounds; i++, done++) {
        await round(page)
        await expect.poll(() => page.workers().length).toBe(0)
      }
      await page.close()
    }
  }

  it.each(cases)(
    'shouldLoseNoAnswerWhen: $name',
    { timeout: 900_000 },
    async ({ name, warm, inject, mend, cut = 0 }) => {
      const row = newRow(name)
      await inPage(RUNS, async (page) => {
        const place = { page, context, proxy }
        if (!warm) {
          await clearStorage(page)
        }
        await connect(page)
        await startEmbedding(page, inputs)
        try {
          await inject(place)
          await pause(500)
          await waitForCut(page, cut)
          await pause(300)
        } finally {
          proxy.heal()
        }
        judge(row, await stopEmbedding(page))
        await mend?.(place)
        await close(page)
      })
      expectNoneLost(row)
    },
  )

  it('shouldLoseNoAnswerWhen: tab reloaded while shards load', { timeout: 900_000 }, async () => {
    const row = newRow('tab reloaded while shards load')
    const page = await context.newPage()
    for (let run = 0; run < RUNS; run++) {
      await open(page, proxy.url)
      await clearStorage(page)
      await connect(page)
      await moment(700)
      // What a page that is reloaded had asked for is not counted.
      await open(page, proxy.url)
      await connect(page)
      await startEmbedding(page, inputs)
      await waitForCut(page, 0)
      await pause(300)
      judge(row, await stopEmbedding(page))
    }
    await page.close()
    expectNoneLost(row)
  })

  it.each([
    { name: 'two tabs, cold', tabs: true, warm: false },
    { name: 'two tabs, warm', tabs: true, warm: true },
    { name: 'two instances in one page, cold', tabs: false, warm: false },
    { name: 'two instances in one page, warm', tabs: false, warm: true },
  ])('shouldLoseNoAnswerWith: $name', { timeout: 900_000 }, async ({ name, tabs, warm }) => {
    const row = newRow(name)
    await inPage(RUNS, async (page) => {
      if (!warm) {
        await clearStorage(page)
      }
      const other = tabs ? await context.newPage() : page
      if (tabs) {
        await open(other, proxy.url)
      }
      await Promise.all([connect(page), connect(other)])
      await Promise.all([...new Set([page, other])].map((each) => startEmbedding(each, inputs)))
      await Promise.all([waitForCut(page, 0), waitForCut(other, 0)])
      await pause(300)
      for (const each of new Set([page, other])) {
        judge(row, await stopEmbedding(each))
        await close(each)
      }
      if (tabs) {
        await other.close()
      }
    })
    expectNoneLost(row)
  })
})
