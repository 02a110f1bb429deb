import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { post } from './head-tokens.ts'
import { LocalCloud } from './local-cloud.ts'
import { embedAt, openSdk } from './sdk-page.ts'

const PROVE = process.env.SPLITCOMPUTE_PROVE === '1'
const MODEL = 'bookworm'
const LAYERS = 8
const TOP = 10
const AT_ONCE = 64
/** Of the queries, one in so many is embedded at a cut. The documents are, too, where all queries are; else in the cloud. */
const STEP = PROVE ? 1 : 24

const file = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../../fixtures/retrieval/${name}`, import.meta.url)), 'utf8')

const pairs = file('pairs.jsonl')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { query: string; document: string })
const asked = pairs.flatMap(({ query }, i) => (i % STEP === 0 ? [query] : []))
const documents = pairs.map(({ document }) => document)

/** For each query its nearest documents, as transformers has them. */
const oracle = (JSON.parse(file('expected.json')) as Record<string, { top: number[][] }>)[MODEL]?.top.filter(
  (_, i) => i % STEP === 0,
)

type Vectors = readonly (readonly number[])[]

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)

/** The documents nearest to each query compared with the oracle's. */
function compare(queries: Vectors, theirs: Vectors): { same: number; largest: number } {
  let [same, largest] = [0, 0]
  for (const [i, query] of queries.entries()) {
    const row = theirs.map((document) => dot(query, document))
    const found = [...row.keys()].sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0)).slice(0, TOP)
    const wanted = oracle?.[i] ?? []
    same += found.join() === wanted.join() ? 1 : 0
    // How far apart two documents are that changed places.
    const gaps = wanted.map((document, rank) =>
      Math.abs((row[document] ?? Number.NaN) - (row[found[rank] ?? -1] ?? Number.NaN)),
    )
    largest = Math.max(largest, ...gaps)
  }
  return { same, largest }
}

describe('retrieval, split', () => {
  const rows: Record<string, unknown>[] = []
  const alone: { queries: Vectors; documents: Vectors } = { queries: [], documents: [] }
  let cloud: LocalCloud
  let browser: Browser

  beforeAll(async () => {
    cloud = await LocalCloud.start()
    browser = await launchBrowser({ webgpu: true })
    Object.assign(alone, { queries: await inCloud(asked), documents: await inCloud(documents) })
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
    if (PROVE) {
      const folder = new URL('../../../docs/proofs/', import.meta.url)
      mkdirSync(folder, { recursive: true })
      const proof = { model: MODEL, queries: asked.length, documents: documents.length, top: TOP, rows }
      writeFileSync(new URL('retrieval-split.json', folder), `${JSON.stringify(proof, null, 2)}\n`)
    }
  })

  async function inCloud(texts: readonly string[]): Promise<number[][]> {
    const all: number[][] = []
    while (all.length < texts.length) {
      const input = texts.slice(all.length, all.length + AT_ONCE)
      const response = await post(`${cloud.url}/v1/embed`, { model: MODEL, input })
      all.push(...((await response.json()) as { embeddings: number[][] }).embeddings)
    }
    return all
  }

  it('shouldFindInTheCloudWhatTheOracleFinds', () => {
    const { same, largest } = compare(alone.queries, alone.documents)
    rows.push({ cut: LAYERS, same, largest })
    expect(largest).toBeLessThan(1e-5)
  })

  // Quantised weights change similarities by some thousandths: what is nearer to each other than that may change places.
  it.each([
    ['f16', 1e-4],
    ['q8', 3e-3],
  ] as const)(
    'shouldFindTheSameHalfAndHalfAndOnTheDeviceAlone: %s',
    { timeout: PROVE ? 3_600_000 : 300_000 },
    async (dtype, tolerance) => {
      const page = await browser.newPage()
      await openSdk(page, cloud.url, { model: MODEL, dtype })
      for (const cut of [LAYERS / 2, 0]) {
        const theirs = PROVE ? await embedAt(page, documents, cut) : alone.documents
        const { same, largest } = compare(await embedAt(page, asked, cut), theirs)
        rows.push({ dtype, cut, same, largest })
        expect(largest, `cut ${cut}`).toBeLessThan(tolerance)
      }
      await page.close()
    },
  )
})
