import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { LocalCloud } from './local-cloud.ts'
import { GPT2_PLAIN } from './oracle.ts'

const SHARDS = /\/shards\/[0-9a-f]{64}\.safetensors/
const LAYERS = 8

async function waitForText(page: Page, selector: string, pattern: RegExp): Promise<string> {
  await page.waitForFunction(
    ([place, source]) =>
      new RegExp(source ?? '').test(document.querySelector(place ?? '')?.textContent ?? ''),
    [selector, pattern.source] as const,
    { timeout: 90_000 },
  )
  return (await page.textContent(selector)) ?? ''
}

async function embedAt(page: Page, cut: number): Promise<{ cut: number; cosine: number }> {
  await page.$eval(
    '#cut',
    (slider, value) => {
      ;(slider as HTMLInputElement).value = String(value)
      slider.dispatchEvent(new Event('input'))
    },
    cut,
  )
  await page.$eval('#result', (result) => {
    ;(result as HTMLElement).hidden = true
  })
  await page.click('#embed')
  await page.waitForSelector('#result:not([hidden])', { timeout: 90_000 })
  return {
    cut: Number(await page.textContent('#result-cut')),
    cosine: Number(/cosine (\S+)/.exec((await page.textContent('#difference')) ?? '')?.[1]),
  }
}

describe('the page', () => {
  let cloud: LocalCloud
  let browser: Browser
  let context: BrowserContext
  let page: Page
  const mistakes: string[] = []

  beforeAll(async () => {
    cloud = await LocalCloud.start({ SPLITCOMPUTE_SHARD_URL_SECONDS: '2' })
    browser = await launchBrowser({ webgpu: true })
  })

  beforeEach(async () => {
    mistakes.length = 0
    context = await browser.newContext()
    page = await context.newPage()
    page.on('pageerror', (error) => mistakes.push(String(error)))
  })

  afterEach(async () => {
    await context.close()
    expect(mistakes).toEqual([])
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
  })

  it('shouldAgreeWithTheCloudAloneAtCuts0And4And8', async () => {
    await page.goto(cloud.url)
    await waitForText(page, '#progress-text', /All weights are here/)
    for (const cut of [0, 4, 8]) {
      const answer = await embedAt(page, cut)
      expect(answer.cut).toBe(cut)
      expect(answer.cosine).toBeGreaterThan(0.9999)
      expect(await page.locator('#layers li[data-side="cloud"]').count()).toBe(cut)
      expect(await page.locator('#layers li[data-side="device"]').count()).toBe(LAYERS - cut)
    }
  })

  it('shouldSayAtOnceThatTheCloudIsAwayAndGoOnWhenItIsBack', async () => {
    let away = true
    await context.route(/\/v1\//, (route) => (away ? route.abort() : route.continue()))
    // A device that had all layers would answer alone.
    await context.route(SHARDS, (route) => route.abort())
    const stillTrying = /^The cloud cannot be reached\. Still trying …$/
    await page.goto(cloud.url)
    await waitForText(page, '#progress-text', stillTrying)
    away = false
    await page.waitForSelector('#embed:enabled')
    away = true
    await page.click('#embed')
    await waitForText(page, '#status', stillTrying)
    away = false
    await page.waitForSelector('#result:not([hidden])', { timeout: 90_000 })
    expect(await page.textContent('#status')).toBe('')
  })

  it('shouldRenewAPresignedUrlThatExpired', async () => {
    const statuses: number[] = []
    let first = true
    await context.route(SHARDS, async (route) => {
      if (first) {
        first = false
        await new Promise((resolve) => setTimeout(resolve, 4_000))
      }
      await route.continue()
    })
    page.on('response', (response) => SHARDS.test(response.url()) && statuses.push(response.status()))
    await page.goto(cloud.url)
    await waitForText(page, '#progress-text', /All weights are here/)
    expect(statuses).toContain(403)
    expect(statuses.at(-1)).toBe(200)
    expect(await embedAt(page, 4)).toMatchObject({ cut: 4 })
  })

  it('shouldRefuseATamperedShardAndLetTheCloudAnswer', async () => {
    let shards = 0
    const tampered = new Set<string>()
    await context.route(SHARDS, async (route) => {
      const { pathname } = new URL(route.request().url())
      // The first shard is the final LayerNorm's; the second one the last layer's.
      if (shards++ === 1) {
        tampered.add(pathname)
      }
      const response = await route.fetch()
      const body = await response.body()
      if (tampered.has(pathname)) {
        body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1
      }
      await route.fulfill({ response, body })
    })
    await page.goto(cloud.url)
    const notice = await waitForText(page, '#notice', /refused/)
    expect(notice).toBe(
      'The shard of layer.7 was refused: part 1 of 1 is not what the manifest names (its SHA-256 differs). ' +
        'The cloud answers alone.',
    )
    const answer = await embedAt(page, 0)
    expect(answer.cut).toBe(LAYERS)
    expect(await page.textContent('#reason')).toContain('layer.7 was refused')
  })
})

describe('the page of a cloud with two models', () => {
  let cloud: LocalCloud
  let browser: Browser

  beforeAll(async () => {
    cloud = await LocalCloud.start({}, [GPT2_PLAIN, 'bookworm'])
    browser = await launchBrowser({ webgpu: true })
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
  })

  it('shouldKeepTheClientOfTheModelThatWasChosenLast', async () => {
    const page = await browser.newPage()
    await page.route(/\/v1\/models\/[^/]+\/manifest$/, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 500))
      // One whose client let it go is not there any more.
      await route.continue().catch(() => undefined)
    })
    await page.goto(cloud.url)
    await page.selectOption('#model', 'gpt2-plain')
    await page.selectOption('#model', 'bookworm')
    await waitForText(page, '#progress-text', /All weights are here/)
    expect(await page.textContent('#model-name')).toBe('bookworm')
    expect(await page.locator('#layers li').count()).toBe(LAYERS)
    // While shards are downloaded, another one hashes.
    await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(1)
    await page.close()
  })

  it('shouldSayNothingButTheErrorWhenAModelThatIsChosenFails', async () => {
    const page = await browser.newPage()
    let away = true
    await page.route(/\/v1\/models\/bookworm\/manifest$/, (route) =>
      away ? route.abort() : route.fulfill({ status: 404 }),
    )
    await page.goto(cloud.url)
    await page.selectOption('#model', 'gpt2-plain')
    await waitForText(page, '#progress-text', /All weights are here/)
    await page.selectOption('#model', 'bookworm')
    await waitForText(page, '#progress-text', /Still trying …$/)
    away = false
    await waitForText(page, '#error', /^The API answered 404\.$/)
    expect(await page.textContent('#progress-text')).toBe('')
    await page.selectOption('#model', 'gpt2-plain')
    await waitForText(page, '#progress-text', /All weights are here/)
    expect(await page.textContent('#error')).toBe('')
    await page.close()
  })
})

describe('the page in a browser without WebGPU', () => {
  let cloud: LocalCloud
  let browser: Browser

  beforeAll(async () => {
    cloud = await LocalCloud.start()
    browser = await launchBrowser({ webgpu: false })
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
  })

  it('shouldSaySoAndShowTheAnswerOfTheCloud', async () => {
    const page = await browser.newPage()
    await page.goto(cloud.url)
    const notice = await waitForText(page, '#notice', /WebGPU/)
    expect(notice).toContain('The cloud answers alone.')
    const answer = await embedAt(page, 4)
    expect(answer).toEqual({ cut: LAYERS, cosine: 1 })
  })
})
