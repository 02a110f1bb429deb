import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { LocalCloud } from './local-cloud.ts'

/** The part of the SDK's interface that the page of this test uses; the page imports it by URL. */
interface SdkPage {
  readonly SplitCompute: {
    connect(options: { endpoint: string; model: string }): Promise<{
      embed(text: string, options: { cut: number }): Promise<{ cut: number; embedding: Float32Array }>
      close(): Promise<void>
    }>
  }
}

describe('the SDK on a page of another origin', () => {
  let cloud: LocalCloud
  let browser: Browser
  let site: Server

  beforeAll(async () => {
    cloud = await LocalCloud.start()
    browser = await launchBrowser({ webgpu: true })
    site = createServer((_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' })
      // Imported here and not in the test's functions: the test runner rewrites their imports.
      response.end(
        '<!doctype html><title>Another origin</title><script type="module">' +
          `import { SplitCompute } from '${cloud.url}/sdk/splitcompute.js'; window.SplitCompute = SplitCompute</script>`,
      )
    })
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
  })

  afterAll(async () => {
    await browser?.close()
    await cloud?.stop()
    site?.close()
  })

  it('shouldSplitWithPageAndApiAndS3OnThreeOrigins', async () => {
    const page = await browser.newPage()
    const origins = new Set<string>()
    page.on('request', (request) => origins.add(new URL(request.url()).origin))
    await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`)
    const answers = await page.evaluate(async (endpoint) => {
      const { SplitCompute } = globalThis as unknown as SdkPage
      const split = await SplitCompute.connect({ endpoint, model: 'bookworm' })
      const results = []
      for (const cut of [8, 4, 0]) {
        const { cut: ran, embedding } = await split.embed('It was a dark and stormy night.', { cut })
        results.push({ cut: ran, embedding: Array.from(embedding) })
      }
      await split.close()
      return results
    }, cloud.url)
    expect(answers.map(({ cut }) => cut)).toEqual([8, 4, 0])
    const [alone, ...others] = answers
    for (const { embedding } of others) {
      // Both are normalized.
      const cosine = embedding.reduce((sum, value, i) => sum + value * (alone?.embedding[i] ?? 0), 0)
      expect(cosine).toBeGreaterThan(0.9999)
    }
    expect(origins.size).toBe(3)
  })
})
