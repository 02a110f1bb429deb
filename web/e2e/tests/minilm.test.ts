import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cosine } from './harness.ts'
import { headTokens } from './head-tokens.ts'
import { OnnxRuntime } from './onnx-runtime.ts'
import { COMPUTING_MS, fixtureJson, fixtureLines, PROVE, writeProof } from './proof.ts'
import { embedAt } from './sdk-page.ts'
import { SplitSetup } from './split-setup.ts'

const MODEL = 'all-minilm-l6-v2'
const LAYERS = 6
const MOST_TOKENS = 256
const TEXTS = PROVE ? 500 : 4

/** Passages and sentences of them, and strings that nobody would write. */
function texts(): string[] {
  const passages = fixtureLines<{ text: string }>('bookworm/passages.jsonl').map(({ text }) => text)
  const sentences = passages.flatMap((passage) => passage.split(/(?<=[.!?]) /))
  const odd = fixtureJson<{ text: string }[]>('bookworm/tokenizer.json').map(({ text }) => text)
  const every = (list: readonly string[], count: number) =>
    Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)] ?? '')
  const [few, some] = [Math.ceil(TEXTS / 16), Math.ceil(TEXTS / 4)]
  return [...every(passages, few), ...every(odd, some), ...every(sentences, TEXTS - few - some)]
}

describe('MiniLM, split', () => {
  const rows: { dtype: string; cut: number; texts: number; lowestCosine: number }[] = []
  const list = texts()
  const expected: Float64Array[] = []
  let setup: SplitSetup

  beforeAll(async () => {
    setup = await SplitSetup.start([MODEL])
    const oracle = await OnnxRuntime.open(MODEL)
    for (const tokens of await headTokens(setup.cloud.url, MODEL, list, () => MOST_TOKENS)) {
      expected.push(await oracle.embed(tokens))
    }
    await oracle.close()
    expect(expected).toHaveLength(TEXTS)
  })

  afterAll(async () => {
    await setup?.stop()
  })

  it.each([
    ['f32', 0.9999],
    ['f16', 0.999],
    ['q8', 0.999],
  ] as const)(
    'shouldComputeWhatTheOnnxRuntimeComputesAtEveryCutIn %s',
    {
      timeout: COMPUTING_MS,
    },
    async (dtype, least) => {
      await setup.inPage({ model: MODEL, dtype }, async (page) => {
        for (let cut = 0; cut <= LAYERS; cut++) {
          const embeddings = await embedAt(page, list, cut)
          const cosines = embeddings.map((embedding, i) => cosine(embedding, expected[i] ?? []))
          const lowestCosine = Math.min(...cosines)
          rows.push({ dtype, cut, texts: list.length, lowestCosine })
          // All of them take an hour: what an end before leaves is told.
          writeProof('minilm-split.json', { model: MODEL, oracle: 'onnxruntime-web 1.30', rows })
          expect(lowestCosine, `cut ${cut}: ${list[cosines.indexOf(lowestCosine)]}`).toBeGreaterThan(least)
        }
      })
    },
  )
})
