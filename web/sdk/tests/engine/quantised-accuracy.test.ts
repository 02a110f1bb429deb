import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cosine, hits, type Vector } from '../../bench/src/retrieval'
import { readTokenizer } from '../../src/tokenizer/tokenizer'
import { loadedEngine } from '../support/engine'
import { readManifest, tokenizerBytes } from '../support/store'
import { readTensors } from '../support/tensors'
import { destroyDevices, installWebGpu } from '../support/webgpu'

const fixtures = join(import.meta.dirname, '..', '..', '..', '..', 'fixtures', 'bookworm')
/** Every twelfth pair of neighbouring passages, one of each book: 24 passages. */
const STEP = process.env.SPLITCOMPUTE_PROVE ? 6 : 12
const never = new AbortController().signal

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe('the embeddings of bookworm', () => {
  const manifest = readManifest('bookworm')
  const tokenize = readTokenizer(tokenizerBytes(manifest))
  const pairs = readFileSync(join(fixtures, 'passages.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { text: string; next: string })
  const chosen = [...pairs.keys()].filter((i) => i % STEP === 0)
  const tensors = readTensors(join(fixtures, 'passages.safetensors'))
  const { hiddenSize } = manifest
  /** By transformers, in f32. */
  const expected = (name: 'text' | 'next') =>
    pairs.map(
      (_, i) => tensors.get(name)?.subarray(i * hiddenSize, (i + 1) * hiddenSize) ?? new Float64Array(),
    )

  describe.each([
    { dtype: 'q8', mean: 0.999, least: 0.999 },
    { dtype: 'q4', mean: 0.975, least: 0.955 },
  ] as const)('in $dtype', ({ dtype, mean, least }) => {
    const found = { text: new Map<number, Vector>(), next: new Map<number, Vector>() }

    beforeAll(async () => {
      const engine = await loadedEngine(manifest, dtype)
      for (const name of ['text', 'next'] as const) {
        const tokens = chosen.map((i) => tokenize(pairs[i]?.[name] ?? ''))
        const embeddings = await engine.run(
          {
            cut: 0,
            tokens: Int32Array.from(tokens.flat()),
            lengths: Int32Array.from(tokens, (ids) => ids.length),
            pooling: 'mean',
            normalize: true,
          },
          never,
        )
        for (const [n, embedding] of embeddings.entries()) {
          found[name].set(chosen[n] ?? -1, embedding)
        }
      }
      engine.destroy()
    }, 600_000)

    it('shouldStayNearThoseInF32', () => {
      const cosines = (['text', 'next'] as const).flatMap((name) =>
        [...found[name]].map(([i, embedding]) => cosine(embedding, expected(name)[i] ?? [])),
      )
      expect(cosines).toHaveLength((2 * pairs.length) / STEP)
      expect(cosines.reduce((sum, value) => sum + value, 0) / cosines.length).toBeGreaterThanOrEqual(mean)
      expect(Math.min(...cosines)).toBeGreaterThanOrEqual(least)
    })

    it('shouldFindContinuationsAsOftenAsThoseInF32', () => {
      // Among the continuations of all passages; those that were not computed here are in f32.
      const continuations = expected('next').map((next, i) => found.next.get(i) ?? next)
      const texts = new Map(chosen.map((i) => [i, expected('text')[i] ?? []]))
      const wanted = hits(texts, expected('next'))
      expect(wanted).toBeGreaterThan(0)
      expect(hits(found.text, continuations) / chosen.length).toBeGreaterThanOrEqual(
        wanted / chosen.length - 0.03,
      )
    })
  })
})
