import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { cosine } from './harness.ts'
import { headTokens } from './head-tokens.ts'
import { LocalCloud } from './local-cloud.ts'
import { OnnxRuntime } from './onnx-runtime.ts'
import { embedAt, openSdk } from './sdk-page.ts'

const PROVE = process.env.SPLITCOMPUTE_PROVE === '1'
const MODEL = 'all-minilm-l6-v2'
const LAYERS = 6
const MOST_TOKENS = 256
const TEXTS = PROVE ? 500 : 4

/** Passages and sentences of them, and strings that nobody would write. */
function texts(): string[] {
  const file = (name: string) =>
    readFileSync(fileURLToPath(new URL(`../../../fixtures/bookworm/${name}`, import.meta.url)), 'utf8')
  const passages = file('passages.jsonl')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { text: string }).text)
  const sentences = passages.flatMap((passage) => passage.split(/(?<=[.!?]) /))
  const odd = (JSON.parse(file('tokenizer.json')) as { text: string }[]).map(({ text }) => text)
  const every = (list: readonly string[], count: number) =>
    Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)] ?? '')
  const [few, some] = [Math.ceil(TEXTS / 16), Math.ceil(TEXTS / 4)]
  return [...every(passages, few), ...every(odd, some), ...every(sentences, TEXTS - few - some)]
}

describe('MiniLM, split', () => {
  const rows: { dtype: string; cut: number; texts: number; lowestCosine: number }[] = []
  const list = texts()
  const expected: Float64Array[] = []
  let cloud: LocalCloud
  let browser: Browser

  beforeAll(async () => {
    cloud = await LocalCloud.start({}, [MODEL])
    browser = await launchBrowser({ webgpu: true })
    const oracle = await OnnxRuntime.open(MODEL)
    for (const tokens of await headTokens(cloud.url, MODEL, list, () => MOST_TOKENS)) {
      expected.push(await oracle.embed(tokens))
    }
    await oracle.close()
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
    if (PROVE) {
      const folder = new URL('../../../docs/proofs/', import.meta.url)
      mkdirSync(folder, { recursive: true })
      const proof = { model: MODEL, oracle: 'onnxruntime-web 1.30', rows }
      writeFileSync(new URL('minilm-split.json', folder), `${JSON.stringify(proof, null, 2)}\n`)
    }
  })

  it.each([
    ['f32', 0.9999],
    ['f16', 0.999],
    ['q8', 0.999],
  ] as const)(
    'shouldComputeWhatTheOnnxRuntimeComputesAtEveryCutIn %s',
    { timeout: PROVE ? 3_600_000 : 300_000 },
    async (dtype, least) => {
      const page = await browser.newPage()
      await openSdk(page, cloud.url, { model: MODEL, dtype })
      for (let cut = 0; cut <= LAYERS; cut++) {
        const embeddings = await embedAt(page, list, cut)
        const cosines = embeddings.map((embedding, i) => cosine(embedding, expected[i] ?? []))
        const lowestCosine = Math.min(...cosines)
        rows.push({ dtype, cut, texts: list.length, lowestCosine })
        expect(lowestCosine, `cut ${cut}: ${list[cosines.indexOf(lowestCosine)]}`).toBeGreaterThan(least)
      }
      await page.close()
    },
  )
})
