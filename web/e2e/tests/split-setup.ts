import type { Browser, Page } from 'playwright-core'
import type { ConnectOptions } from 'splitcompute'
import { launchBrowser } from './browser.ts'
import { LocalCloud } from './local-cloud.ts'
import { openSdk } from './sdk-page.ts'

/** The local cloud, and a browser with WebGPU. */
export class SplitSetup {
  private constructor(
    readonly cloud: LocalCloud,
    private readonly browser: Browser,
  ) {}

  static async start(models: readonly string[]): Promise<SplitSetup> {
    const cloud = await LocalCloud.start({}, models)
    try {
      return new SplitSetup(cloud, await launchBrowser({ webgpu: true }))
    } catch (error) {
      await cloud.stop()
      throw error
    }
  }

  /** Lends a page whose SDK has all layers. */
  async inPage(options: Partial<ConnectOptions>, work: (page: Page) => Promise<void>): Promise<void> {
    const page = await this.browser.newPage()
    try {
      await openSdk(page, this.cloud.url, options)
      await work(page)
    } finally {
      await page.close()
    }
  }

  async stop(): Promise<void> {
    await this.browser.close()
    await this.cloud.stop()
  }
}
