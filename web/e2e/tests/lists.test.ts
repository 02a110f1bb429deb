import type { Browser, Page } from 'playwright-core'
import type { ListProgress, PartialFailure } from 'splitcompute'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { cosine } from './harness.ts'
import { LocalCloud } from './local-cloud.ts'
import { embedAt, openSdk, type SdkPage } from './sdk-page.ts'

/** Too few for the activations of any request of these tests, and for the embeddings of most. */
const RESPONSE_BYTES = 40_000

const WORDS = 'night rain ship door letter winter garden stranger road fire river silence'.split(' ')

/** Sentences of 2 to 12 words. */
const TEXTS = Array.from({ length: 120 }, (_, i) =>
  Array.from({ length: 2 + (i % 11) }, (_, j) => WORDS[(i * 5 + j * j * 7) % WORDS.length]).join(' '),
)

describe('a list in the browser', () => {
  let cloud: LocalCloud
  let browser: Browser
  let page: Page
  const paths: string[] = []

  beforeAll(async () => {
    cloud = await LocalCloud.start({ SPLITCOMPUTE_LIMITS_MAX_RESPONSE_BYTES: String(RESPONSE_BYTES) })
    browser = await launchBrowser({ webgpu: true })
    page = await browser.newPage()
    page.on('request', (request) => paths.push(new URL(request.url()).pathname))
    await openSdk(page, cloud.url, { model: 'bookworm', dtype: 'f16' })
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
  })

  it.each([4, 0])('shouldBeAnsweredByWayOfS3LikeTheCloudAloneAtCut %d', async (cut) => {
    const alone = await embedAt(page, TEXTS, 8)
    paths.length = 0
    const embeddings = await embedAt(page, TEXTS, cut)
    const stored = paths.filter((path) => path.includes('/activations/'))
    if (cut > 0) {
      expect(stored.length).toBeGreaterThan(1)
    }
    expect(embeddings).toHaveLength(TEXTS.length)
    for (const [i, embedding] of embeddings.entries()) {
      expect(cosine(embedding, alone[i] ?? [])).toBeGreaterThan(0.9999)
    }
  })

  it('shouldNameWhatCannotBeEmbeddedAndKeepTheRest', async () => {
    const texts = [...TEXTS]
    texts[23] = WORDS.join(' ').repeat(100)
    texts[100] = ''
    const result = await page.evaluate(async (list) => {
      const told: ListProgress[] = []
      const error = await (globalThis as unknown as SdkPage).split
        .embed(list, { cut: 4, onProgress: (progress) => told.push(progress) })
        .then(
          () => undefined,
          (reason: PartialFailure) => reason,
        )
      return {
        code: error?.code,
        message: error?.message,
        failures: [...(error?.failures.keys() ?? [])].sort((a, b) => a - b),
        answers: error?.answers.size,
        last: told.at(-1),
      }
    }, texts)
    expect(result).toEqual({
      code: 'partial_failure',
      message: expect.stringMatching(
        /^2 of 120 inputs have no answer; input 23: The field 'input' has \d+ tokens, at most 512 are allowed/,
      ),
      failures: [23, 100],
      answers: 118,
      last: { done: 120, total: 120 },
    })
  })

  it('shouldBeEmbeddedByOpenAisInterfaceAsTheCloudDoes', async () => {
    const body = { model: 'bookworm', input: TEXTS.slice(0, 5), dimensions: 64 }
    const response = await fetch(`${cloud.url}/v1/embeddings`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    const alone = (await response.json()) as { data: { embedding: number[] }[] }
    const split = await page.evaluate(
      (parameters) => (globalThis as unknown as SdkPage).split.embeddings.create(parameters, { cut: 3 }),
      body,
    )
    expect({ ...split, data: [] }).toEqual({ ...alone, data: [] })
    expect(split.data).toHaveLength(5)
    for (const [i, { index, embedding }] of split.data.entries()) {
      expect(index).toBe(i)
      expect(cosine(embedding, alone.data[i]?.embedding ?? [])).toBeGreaterThan(0.9999)
    }
  })
})
