import { cpus } from 'node:os'
import type { Page } from 'playwright-core'
import type { ConnectOptions } from 'splitcompute'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { BYTES_PER_SECOND, type FaultCase, faults, waitWhileShardsLoad } from './faults.ts'
import {
  type ConnectChoices,
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
import { Lane } from './lane.ts'
import { LocalCloud } from './local-cloud.ts'
import { GPT2_PLAIN, oracle } from './oracle.ts'
import { PROVE, version, writeProof } from './proof.ts'
import { type Held, held } from './workers.ts'

/** Rounds after which a page is opened anew. */
const ROUNDS_A_PAGE = 10
/** For what is still being freed. */
const GRACE = { timeout: 10_000 }
const COSINE = 0.999
const TIMEOUT_MS = PROVE ? 900_000 : 120_000

/** What is embedded, and what must come out. */
interface Workload {
  readonly inputs: readonly (readonly number[] | string)[]
  readonly embeddings: readonly ArrayLike<number>[]
  readonly options: Partial<ConnectOptions>
  readonly units: number
  readonly runs: number
}

/** Several clients of one origin. */
interface Shared {
  readonly name: string
  readonly tabs: number
  readonly warm: boolean
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
  /** Answers by why another side gave them. */
  readonly reasons: Record<string, number>
}

/** Where and on what a storm was played. */
interface Circumstances {
  readonly date: string
  readonly commit: string
  readonly machine: string
  readonly minutes: number
}

function circumstancesSince(start: number, commit: string): Circumstances {
  const [cpu] = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    commit,
    machine: `${cpus().length} x ${cpu?.model}`,
    minutes: Math.round((Date.now() - start) / 60_000),
  }
}

const TEXTS = ['It was a dark night.', 'Rain fell.', 'She went home.', 'The ships came in.']

/** Faults that are also tried with texts, on the model that has a tokenizer. */
const WITH_TEXTS: readonly string[] = [
  'connection cut in the middle of a part',
  'shard URL expired',
  'GPU device destroyed while requests run',
  'network offline for 1.5 s',
]

describe.concurrent('a storm', () => {
  const tokens: Workload = {
    ...oracle(),
    options: { model: 'gpt2-plain', dtype: 'f32' },
    units: 5,
    runs: PROVE ? 50 : 2,
  }
  const texts = {
    inputs: TEXTS,
    embeddings: [] as number[][],
    options: { model: 'bookworm', dtype: 'f16' },
    units: 10,
    runs: PROVE ? 10 : 2,
  } as const
  const rows: Row[] = []
  /** What a worker holds at rest, by what its client was asked for. */
  const calm = new Map<string, Held>()
  let cloud: LocalCloud
  const lanes: Lane[] = []
  const idle: Lane[] = []
  let started: number
  /** As it was at the beginning: what is played is loaded by then. */
  let commit: string

  beforeAll(async () => {
    started = Date.now()
    commit = version()
    cloud = await LocalCloud.start({}, ['bookworm', GPT2_PLAIN])
    const response = await fetch(new URL('/v1/embed', cloud.url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'bookworm', input: TEXTS }),
    })
    texts.embeddings.push(...((await response.json()) as { embeddings: number[][] }).embeddings)
  })

  afterAll(async () => {
    await Promise.all(lanes.map((lane) => lane.close()))
    await cloud?.stop()
    const circumstances = circumstancesSince(started, commit)
    writeProof('storm.json', { ...circumstances, rows })
    writeProof('storm.md', table(circumstances, rows))
  })

  async function inLane(work: (lane: Lane) => Promise<void>): Promise<void> {
    const lane = idle.pop() ?? (await newLane())
    try {
      await work(lane)
    } finally {
      idle.push(lane)
    }
  }

  async function newLane(): Promise<Lane> {
    const lane = await Lane.open(cloud.url)
    lanes.push(lane)
    return lane
  }

  function newRow(fault: string, { options }: Workload): Row {
    const model = options.model ?? ''
    const row = { fault, model, runs: 0, embeds: 0, lost: 0, wrong: 0, rejected: 0, cuts: {}, reasons: {} }
    rows.push(row)
    return row
  }

  /**
   * Rounds in new pages, a few in each: first one that fills the storage, where the rounds are to find it so. At the end of a
   * page nothing is open, for then its files could not be removed.
   *
   * @param rounds plays at most `most` of them; tells how many it has played
   */
  async function inPages(
    { context, proxy }: Lane,
    { tabs, runs, fill }: { tabs: number; runs: number; fill?: ConnectChoices | undefined },
    rounds: (pages: readonly Page[], most: number) => Promise<number>,
  ): Promise<void> {
    for (let done = 0; done < runs; ) {
      const pages = await Promise.all(Array.from({ length: tabs }, () => context.newPage()))
      const [page] = pages as [Page]
      try {
        for (const each of pages) {
          await open(each, proxy.url)
        }
        if (fill !== undefined) {
          await connect(page, fill)
          await waitForCut(page, 0)
          await closeAll(pages)
        }
        for (const end = Math.min(runs, done + ROUNDS_A_PAGE); done < end; ) {
          done += await rounds(pages, end - done)
          await closeAll(pages)
        }
        await clearStorage(page)
      } finally {
        proxy.heal()
        await Promise.all(pages.map((each) => each.close()))
      }
    }
  }

  /** Closes every client; none leaves its worker. */
  async function closeAll(pages: readonly Page[]): Promise<void> {
    for (const page of pages) {
      await close(page)
      await vi.waitFor(() => expect(page.workers()).toHaveLength(0), GRACE)
    }
  }

  /** What a worker holds that has lived through nothing but embeds. */
  async function heldInCalm(
    { context, proxy }: Lane,
    options: ConnectChoices,
    { inputs }: Workload,
    cut: number,
  ): Promise<Held> {
    const key = JSON.stringify(options)
    const known = calm.get(key)
    if (known !== undefined) {
      return known
    }
    const page = await context.newPage()
    try {
      await open(page, proxy.url)
      await connect(page, options)
      await waitForCut(page, cut)
      await startEmbedding(page, inputs)
      await page.waitForTimeout(600)
      await stopEmbedding(page)
      const atRest = { worker: 'splitcompute', buffers: expect.any(Number), handles: 0 }
      await expectHeld(page, [atRest])
      const [found] = await held(page)
      expect(found).toEqual(atRest)
      calm.set(key, found as Held)
      await closeAll([page])
      return found as Held
    } finally {
      await page.close()
    }
  }

  async function expectHeld(page: Page, workers: readonly Held[]): Promise<void> {
    await vi.waitFor(async () => expect(await held(page)).toEqual(workers), GRACE)
  }

  async function brave(lane: Lane, fault: FaultCase, workload: Workload): Promise<void> {
    const row = newRow(fault.name, workload)
    const options = { ...workload.options, ...fault.options }
    const expected = await heldInCalm(lane, options, workload, fault.cut ?? 0)
    const fill = fault.warm ? options : undefined
    await inPages(lane, { tabs: 1, runs: workload.runs, fill }, async ([page], most) => {
      const { context, proxy } = lane
      const place = { page: page as Page, context, proxy, units: workload.units }
      if (!fault.warm) {
        await clearStorage(place.page)
      }
      await fault.before?.(place)
      await connect(place.page, options)
      const times = Math.min(most, fault.times ?? 1)
      for (let i = 0; i < times; i++) {
        await startEmbedding(place.page, workload.inputs)
        await fault.during?.(place)
        await waitForCut(place.page, fault.cut ?? 0)
        expect(proxy.done).toBe(true)
        await place.page.waitForTimeout(300)
        proxy.heal()
        judge(row, await stopEmbedding(place.page), workload)
        await expectHeld(place.page, [expected])
        row.runs++
      }
      await fault.after?.(place)
      return times
    })
    expectNoneLost(row)
  }

  it.each(faults)('shouldLoseNoAnswerWhen: $name', { timeout: TIMEOUT_MS }, (fault) =>
    inLane((lane) => brave(lane, fault, tokens)),
  )

  it.each(faults.filter(({ name }) => WITH_TEXTS.includes(name)))(
    'shouldLoseNoAnswerToATextWhen: $name',
    { timeout: TIMEOUT_MS },
    (fault) => inLane((lane) => brave(lane, fault, texts)),
  )

  async function reload(lane: Lane): Promise<void> {
    const row = newRow('tab reloaded while shards load', tokens)
    const expected = await heldInCalm(lane, tokens.options, tokens, 0)
    await inPages(lane, { tabs: 1, runs: tokens.runs }, async (pages) => {
      const [page] = pages as [Page]
      await clearStorage(page)
      const { proxy } = lane
      proxy.bytesPerSecond = BYTES_PER_SECOND
      await connect(page, tokens.options)
      await startEmbedding(page, tokens.inputs)
      await waitWhileShardsLoad({ page, proxy })
      // What a page that is reloaded had asked for is not counted.
      await open(page, proxy.url)
      await connect(page, tokens.options)
      await startEmbedding(page, tokens.inputs)
      await waitForCut(page, 0)
      await page.waitForTimeout(300)
      judge(row, await stopEmbedding(page), tokens)
      await expectHeld(page, [expected])
      row.runs++
      return 1
    })
    expectNoneLost(row)
  }

  it('shouldLoseNoAnswerWhen: tab reloaded while shards load', { timeout: TIMEOUT_MS }, () => inLane(reload))

  async function share(lane: Lane, { name, tabs, warm }: Shared): Promise<void> {
    const row = newRow(name, tokens)
    const expected = await heldInCalm(lane, tokens.options, tokens, 0)
    await inPages(
      lane,
      { tabs, runs: tokens.runs, fill: warm ? tokens.options : undefined },
      async (pages) => {
        const [page, other = page] = pages as [Page, Page?]
        if (!warm) {
          await clearStorage(page)
        }
        await Promise.all([connect(page, tokens.options), connect(other, tokens.options)])
        for (const each of pages) {
          await startEmbedding(each, tokens.inputs)
        }
        for (const each of pages) {
          await waitForCut(each, 0)
        }
        for (const each of pages) {
          judge(row, await stopEmbedding(each), tokens)
        }
        await expectHeld(page, [expected, expected])
        row.runs++
        return 1
      },
    )
    expectNoneLost(row)
  }

  it.each([
    { name: 'two tabs, cold', tabs: 2, warm: false },
    { name: 'two tabs, warm', tabs: 2, warm: true },
    { name: 'two instances in one page, cold', tabs: 1, warm: false },
    { name: 'two instances in one page, warm', tabs: 1, warm: true },
  ])('shouldLoseNoAnswerWith: $name', { timeout: TIMEOUT_MS }, (shared) =>
    inLane((lane) => share(lane, shared)),
  )
})

function judge(
  row: Row,
  { asked, outcomes }: { asked: number; outcomes: readonly Outcome[] },
  { embeddings }: Workload,
): void {
  row.embeds += asked
  row.lost += asked - outcomes.length
  for (const { input, embedding, cut, code, reason } of outcomes) {
    if (reason !== undefined) {
      row.reasons[reason] = (row.reasons[reason] ?? 0) + 1
    }
    if (embedding === undefined) {
      row.rejected++
      row.cuts[`error ${code}`] = (row.cuts[`error ${code}`] ?? 0) + 1
    } else {
      row.wrong += cosine(embedding, embeddings[input] ?? []) > COSINE ? 0 : 1
      row.cuts[String(cut)] = (row.cuts[String(cut)] ?? 0) + 1
    }
  }
}

function expectNoneLost({ lost, wrong, rejected, embeds, cuts, reasons }: Row): void {
  expect({ lost, wrong, rejected }, JSON.stringify({ cuts, reasons })).toEqual({
    lost: 0,
    wrong: 0,
    rejected: 0,
  })
  expect(embeds).toBeGreaterThan(0)
}

/** The figures as a table for people. */
function table({ date, commit, machine, minutes }: Circumstances, rows: readonly Row[]): string {
  return [
    `Version ${commit} on ${machine}, ${date}, in ${minutes} minutes.`,
    '',
    '| fault | model | runs | embeds | lost | wrong | rejected |',
    '|---|---|---|---|---|---|---|',
    ...rows.map(
      ({ fault, model, runs, embeds, lost, wrong, rejected }) =>
        `| ${fault} | ${model} | ${runs} | ${embeds} | ${lost} | ${wrong} | ${rejected} |`,
    ),
  ].join('\n')
}
