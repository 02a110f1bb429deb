import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { post } from './head-tokens.ts'
import { COMPUTING_MS, fixtureJson, fixtureLines, PROVE, writeProof } from './proof.ts'
import { embedAt } from './sdk-page.ts'
import { SplitSetup } from './split-setup.ts'

/** An ordinary run asks the first of every `step` queries; documents come from the cloud then. */
const MODELS = [
  { model: 'bookworm', layers: 8, step: PROVE ? 1 : 24 },
  { model: 'all-minilm-l6-v2', layers: 6, step: PROVE ? 1 : 68 },
] as const
const TOP = 10
const AT_ONCE = 64

const pairs = fixtureLines<{ query: string; document: string }>('retrieval/pairs.jsonl')
const documents = pairs.map(({ document }) => document)
/** By model, for each query its nearest documents. */
const oracles = fixtureJson<Record<string, { top: number[][] }>>('retrieval/expected.json')

type Vectors = readonly (readonly number[])[]

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)

/** The documents nearest to each query compared with the oracle's. */
function compare(queries: Vectors, theirs: Vectors, oracle: readonly number[][]) {
  expect(queries).toHaveLength(oracle.length)
  expect(theirs).toHaveLength(pairs.length)
  let [same, largest] = [0, 0]
  for (const [i, wanted] of oracle.entries()) {
    const row = theirs.map((document) => dot(queries[i] ?? [], document))
    const found = [...row.keys()].sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0)).slice(0, TOP)
    same += found.join() === wanted.join() ? 1 : 0
    // How far apart two documents are that changed places.
    const gaps = wanted.map((document, rank) =>
      Math.abs((row[document] ?? Number.NaN) - (row[found[rank] ?? -1] ?? Number.NaN)),
    )
    largest = Math.max(largest, ...gaps)
  }
  return { same, largest }
}

const proofs: object[] = []
let setup: SplitSetup

beforeAll(async () => {
  setup = await SplitSetup.start(MODELS.map(({ model }) => model))
})

afterAll(async () => {
  await setup?.stop()
  writeProof('retrieval-split.json', { documents: documents.length, top: TOP, models: proofs })
})

describe.each(MODELS)('retrieval by $model, split', ({ model, layers, step }) => {
  const taken = <T>(list: readonly T[]) => list.filter((_, i) => i % step === 0)
  const asked = taken(pairs).map(({ query }) => query)
  const oracle = taken(oracles[model]?.top ?? [])
  const alone: { queries: Vectors; documents: Vectors } = { queries: [], documents: [] }
  const rows: object[] = []

  beforeAll(async () => {
    proofs.push({ model, queries: asked.length, rows })
    expect(oracle.map((top) => new Set(top).size)).toEqual(asked.map(() => TOP))
    Object.assign(alone, { queries: await inCloud(asked), documents: await inCloud(documents) })
  })

  async function inCloud(texts: readonly string[]): Promise<number[][]> {
    const all: number[][] = []
    while (all.length < texts.length) {
      const input = texts.slice(all.length, all.length + AT_ONCE)
      const response = await post(`${setup.cloud.url}/v1/embed`, { model, input })
      all.push(...((await response.json()) as { embeddings: number[][] }).embeddings)
    }
    return all
  }

  it('shouldFindInTheCloudWhatTheOracleFinds', () => {
    const { same, largest } = compare(alone.queries, alone.documents, oracle)
    rows.push({ cut: layers, same, largest })
    expect(largest).toBeLessThan(1e-5)
    expect(same).toBe(asked.length)
  })

  // Quantised weights change similarities by some thousandths: what is nearer to each other than that may change places.
  it.each([
    ['f16', 1e-4, 0.9],
    ['q8', 3e-3, 0.5],
  ] as const)(
    'shouldFindTheSameHalfAndHalfAndOnTheDeviceAlone: %s',
    {
      timeout: COMPUTING_MS,
    },
    async (dtype, tolerance, share) => {
      await setup.inPage({ model, dtype }, async (page) => {
        for (const cut of [layers / 2, 0]) {
          const theirs = PROVE ? await embedAt(page, documents, cut) : alone.documents
          const { same, largest } = compare(await embedAt(page, asked, cut), theirs, oracle)
          rows.push({ dtype, cut, same, largest })
          expect(largest, `cut ${cut}`).toBeLessThan(tolerance)
          expect(same, `cut ${cut}`).toBeGreaterThanOrEqual(share * asked.length)
        }
      })
    },
  )
})
