import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { headTokens, post } from './head-tokens.ts'
import { LocalCloud } from './local-cloud.ts'
import { oddStrings } from './odd-strings.ts'
import { fixture, PROVE } from './proof.ts'
import { tensorBytes } from './safetensors.ts'
import { importInto } from './sdk-page.ts'

const SEED = 1
const STRINGS = PROVE ? 50_000 : 6_000

interface TokenizerPage {
  readTokenizer(json: Uint8Array): (text: string, most?: number) => number[]
  ids: (texts: readonly string[]) => number[][]
}

interface Manifest {
  readonly maxTokens: number
  readonly truncateTokens?: number
  readonly tokenizer: { readonly sha256: string }
}

describe('the tokenizer in the browser', () => {
  const models = ['bookworm', 'bert-mean', 'bert-cls-f16-prefixed', 'all-minilm-l6-v2'] as const
  let cloud: LocalCloud
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    cloud = await LocalCloud.start(
      {},
      models.map((model) => (model.startsWith('bert-') ? fixture(model) : model)),
    )
    browser = await launchBrowser({ webgpu: false })
    page = await browser.newPage()
    await importInto(page, cloud.url, 'splitcompute-tokenizer.js', 'readTokenizer')
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
  })

  async function manifestOf(model: string): Promise<Manifest> {
    return (await (await fetch(`${cloud.url}/v1/models/${model}/manifest`)).json()) as Manifest
  }

  /** Gives the page a model's tokenizer, as it lies in S3. */
  async function read(model: string, { truncateTokens, tokenizer }: Manifest): Promise<void> {
    const signed = await post(`${cloud.url}/v1/models/${model}/shards`, { shards: [tokenizer.sha256] })
    const { urls } = (await signed.json()) as { urls: { url: string }[] }
    const shard = await fetch(urls[0]?.url ?? '')
    const json = tensorBytes(new Uint8Array(await shard.arrayBuffer()), 'tokenizer.json')
    await page.evaluate(
      ([text, most]) => {
        const here = globalThis as unknown as TokenizerPage
        const tokenize = here.readTokenizer(new TextEncoder().encode(text))
        here.ids = (texts) => texts.map((one) => tokenize(one, most))
      },
      [Buffer.from(json).toString(), truncateTokens] as const,
    )
  }

  function inBrowser(texts: readonly string[]): Promise<number[][]> {
    return page.evaluate((list) => (globalThis as unknown as TokenizerPage).ids(list), texts)
  }

  it.each(models)('shouldGiveTheHeadsIdsForOddStrings: %s', { timeout: 600_000 }, async (model) => {
    const manifest = await manifestOf(model)
    await read(model, manifest)
    const strings = [...new Set(oddStrings(STRINGS, SEED))]
    const ids = await inBrowser(strings)
    expect(ids).toHaveLength(strings.length)
    const all = strings.map((text, i) => ({ text, ids: ids[i] ?? [] }))
    const isValid = ({ ids: own }: { ids: number[] }) => own.length > 0 && own.length <= manifest.maxTokens
    // What has no token here, or too many, has none or too many there.
    for (const { text } of all.filter((one) => !isValid(one))) {
      const response = await post(`${cloud.url}/v1/embed`, { model, input: [text], cut: 0 })
      expect(await response.json(), JSON.stringify(text)).toMatchObject({ status: 400, field: 'input' })
    }
    const valid = all.filter(isValid)
    expect(valid.length).toBeGreaterThan(5_000)
    const heads = await headTokens(
      cloud.url,
      model,
      valid.map(({ text }) => text),
      (i) => valid[i]?.ids.length ?? 0,
    )
    for (const [i, { text, ids: own }] of valid.entries()) {
      expect(own, JSON.stringify(text)).toEqual(heads[i])
    }
  })

  it('shouldGiveTheHeadsIdsForHalfASurrogatePair', async () => {
    const text = '😀 night \ud800 \udc00, x\ud83d'
    for (const model of models) {
      await read(model, await manifestOf(model))
      // Written out, for such a string does not come to a page whole.
      const own = await page.evaluate(
        (escaped) => (globalThis as unknown as TokenizerPage).ids([JSON.parse(escaped) as string]),
        JSON.stringify(text),
      )
      expect(own).toEqual(await headTokens(cloud.url, model, [text], () => text.length * 4))
    }
  })
})
