import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import type { ConnectOptions } from 'splitcompute'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchProfile } from './browser.ts'
import { FaultProxy } from './fault-proxy.ts'
import { type FaultCase, faults } from './faults.ts'
import {
  clearStorage,
  close,
  connect,
  cosine,
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
const TIMEOUT_MS = PROVE ? 900_000 : 120_000

/** What is embedded, and what must come out. */
interface Workload {
  readonly inputs: readonly (readonly number[] | string)[]
  readonly embeddings: readonly ArrayLike<number>[]
  readonly options: Partial<ConnectOptions>
  readonly units: number
}

/** What became of every embed under one fault. */
interface Row {
  readonly fault: string
  readonly model: string
  runs: number
  embeds: number
  lost: number
  wrong: number
  rejected: number
  /** Answers by the cut that ran. */
  readonly cuts: Record<string, number>
}

const TEXTS = ['It was a dark night.', 'Rain fell.', 'She went home.', 'The ships came in.']

/** Faults that are also tried with texts, on the model that has a tokenizer. */
const WITH_TEXTS: readonly string[] = [
  'connection cut in the middle of a part',
  'shard URL expired',
  'GPU device destroyed while requests run',
  'network offline for 1.5 s',
]

describe('a storm', () => {
  const tokens: Workload = { ...oracle(), options: { model: 'gpt2-plain', dtype: 'f32' }, units: 5 }
  const texts = {
    inputs: TEXTS,
    embeddings: [] as number[][],
    options: { model: 'bookworm', dtype: 'f16' },
    units: 10,
  } as const
  const rows: Row[] = []
  let cloud: LocalCloud
  let proxy: FaultProxy
  let context: BrowserContext
  let profile: string

  beforeAll(async () => {
    cloud = await LocalCloud.start({}, ['bookworm', GPT2_PLAIN])
    proxy = await FaultProxy.start(cloud.url)
    profile = mkdtempSync(join(tmpdir(), 'splitcompute-'))
    context = await launchProfile(profile)
    const response = await fetch(new URL('/v1/embed', cloud.url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'bookworm', input: TEXTS }),
    })
    texts.embeddings.push(...((await response.json()) as { embeddings: number[][] }).embeddings)
  })

  afterAll(async () => {
    await context?.close()
    await proxy?.stop()
    await cloud?.stop()
    rmSync(profile, { recursive: true, force: true })
    if (PROVE) {
      writeProof(rows)
    }
  })

  function newRow(fault: string, { options }: Workload): Row {
    const model = options.model ?? ''
    const row = { fault, model, runs: 0, embeds: 0, lost: 0, wrong: 0, rejected: 0, cuts: {} }
    rows.push(row)
    return row
  }

  /** A new page for every few rounds; no worker of a round may be left at its end. */
  async function inPages(round: (page: Page) => Promise<void>): Promise<void> {
    for (let done = 0; done < RUNS; ) {
      const page = await context.newPage()
      await open(page, proxy.url)
      for (let i = 0; i < ROUNDS_A_PAGE && done < RUNS; i++, done++) {
        await round(page)
        await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0)
      }
      await page.close()
    }
  }

  async function brave(fault: FaultCase, workload: Workload): Promise<void> {
    const row = newRow(fault.name, workload)
    await inPages(async (page) => {
      const place = { page, context, proxy, units: workload.units }
      if (!fault.warm) {
        await clearStorage(page)
      }
      await fault.before?.(place)
      await connect(page, { ...workload.options, ...fault.options })
      await startEmbedding(page, workload.inputs)
      try {
        await fault.during?.(place)
        await waitForCut(page, fault.cut ?? 0)
        expect(proxy.done).toBe(true)
        await page.waitForTimeout(300)
      } finally {
        proxy.heal()
      }
      judge(row, await stopEmbedding(page), workload)
      await fault.after?.(place)
      await close(page)
    })
    expectNoneLost(row)
  }

  it.each(faults)('shouldLoseNoAnswerWhen: $name', { timeout: TIMEOUT_MS }, (fault) => brave(fault, tokens))

  it.each(faults.filter(({ name }) => WITH_TEXTS.includes(name)))(
    'shouldLoseNoAnswerToATextWhen: $name',
    { timeout: TIMEOUT_MS },
    (fault) => brave(fault, texts),
  )

  it('shouldLoseNoAnswerWhen: tab reloaded while shards load', { timeout: TIMEOUT_MS }, async () => {
    const row = newRow('tab reloaded while shards load', tokens)
    const page = await context.newPage()
    for (let run = 0; run < RUNS; run++) {
      await open(page, proxy.url)
      await clearStorage(page)
      await connect(page)
      await page.waitForTimeout(Math.random() * 700)
      // What a page that is reloaded had asked for is not counted.
      await open(page, proxy.url)
      await connect(page)
      await startEmbedding(page, tokens.inputs)
      await waitForCut(page, 0)
      await page.waitForTimeout(300)
      judge(row, await stopEmbedding(page), tokens)
    }
    await page.close()
    expectNoneLost(row)
  })

  it.each([
    { name: 'two tabs, cold', tabs: true, warm: false },
    { name: 'two tabs, warm', tabs: true, warm: true },
    { name: 'two instances in one page, cold', tabs: false, warm: false },
    { name: 'two instances in one page, warm', tabs: false, warm: true },
  ])('shouldLoseNoAnswerWith: $name', { timeout: TIMEOUT_MS }, async ({ name, tabs, warm }) => {
    const row = newRow(name, tokens)
    await inPages(async (page) => {
      if (!warm) {
        await clearStorage(page)
      }
      const pages = tabs ? [page, await context.newPage()] : [page]
      const [, other] = pages
      if (other !== undefined) {
        await open(other, proxy.url)
      }
      await Promise.all([connect(page), connect(other ?? page)])
      for (const each of pages) {
        await startEmbedding(each, tokens.inputs)
      }
      for (const each of pages) {
        await waitForCut(each, 0)
        judge(row, await stopEmbedding(each), tokens)
        await close(each)
      }
      await other?.close()
    })
    expectNoneLost(row)
  })
})

function judge(
  row: Row,
  { asked, outcomes }: { asked: number; outcomes: readonly Outcome[] },
  { embeddings }: Workload,
): void {
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

function expectNoneLost({ lost, wrong, rejected, embeds, cuts }: Row): void {
  expect({ lost, wrong, rejected }, JSON.stringify(cuts)).toEqual({ lost: 0, wrong: 0, rejected: 0 })
  expect(embeds).toBeGreaterThan(0)
}

/** The figures, and the same as a table for people. */
function writeProof(rows: readonly Row[]): void {
  const folder = new URL('../../../docs/proofs/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL('storm.json', folder), `${JSON.stringify({ rows }, null, 2)}\n`)
  const lines = rows.map(
    ({ fault, model, runs, embeds, lost, wrong, rejected }) =>
      `| ${fault} | ${model} | ${runs} | ${embeds} | ${lost} | ${wrong} | ${rejected} |`,
  )
  const head = [
    '| fault | model | runs | embeds | lost | wrong | rejected |',
    '|---|---|---|---|---|---|---|',
  ]
  writeFileSync(new URL('storm.md', folder), `${[...head, ...lines].join('\n')}\n`)
}
