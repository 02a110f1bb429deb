import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readTokenizer } from '../../src/tokenizer/tokenizer'
import { loadedEngine } from '../support/engine'
import { readManifest, tokenizerBytes } from '../support/store'
import { readTensors } from '../support/tensors'
import { destroyDevices, installWebGpu } from '../support/webgpu'

const fixtures = join(import.meta.dirname, '..', '..', '..', '..', 'fixtures', 'bookworm')
/** Every sixth passage, two of each book, where time allows. */
const STEP = process.env.SPLITCOMPUTE_PROVE ? 6 : 24
const never = new AbortController().signal

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [product, left, right] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? Number.NaN, b[i] ?? Number.NaN]
    product += x * y
    left += x * x
    right += y * y
  }
  return product / Math.sqrt(left * right)
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe('the embeddings of bookworm', () => {
  const manifest = readManifest('bookworm')
  const tokenize = readTokenizer(tokenizerBytes(manifest))
  const passages = readFileSync(join(fixtures, 'passages.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { text: string }).text)
  const expected = readTensors(join(fixtures, 'passages.safetensors')).get('text') ?? new Float64Array()
  const { hiddenSize } = manifest

  async function cosines(dtype: 'q8' | 'q4'): Promise<number[]> {
    const engine = await loadedEngine(manifest, dtype)
    const chosen = passages.map((text, i) => ({ text, i })).filter(({ i }) => i % STEP === 0)
    const tokens = chosen.map(({ text }) => tokenize(text))
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
    return embeddings.map((embedding, n) => {
      const i = (chosen[n]?.i ?? 0) * hiddenSize
      return cosine(embedding, expected.subarray(i, i + hiddenSize))
    })
  }

  it('shouldStayWithinAThousandthOfF32InQ8', async () => {
    const found = await cosines('q8')
    expect(found).toHaveLength(144 / STEP)
    expect(Math.min(...found)).toBeGreaterThanOrEqual(0.999)
  }, 240_000)

  it('shouldStayNearF32InQ4', async () => {
    const found = await cosines('q4')
    expect(found.reduce((sum, value) => sum + value, 0) / found.length).toBeGreaterThanOrEqual(0.975)
    expect(Math.min(...found)).toBeGreaterThanOrEqual(0.955)
  }, 240_000)
})
