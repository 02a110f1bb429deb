import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext } from 'playwright-core'
import { launchProfile } from './browser.ts'
import { FaultProxy } from './fault-proxy.ts'

/** A browser with a profile of its own, before a proxy of its own: what breaks in one lane is not felt in another. */
export class Lane {
  private constructor(
    readonly context: BrowserContext,
    readonly proxy: FaultProxy,
    private readonly profile: string,
  ) {}

  static async open(cloud: string): Promise<Lane> {
    const proxy = await FaultProxy.start(cloud)
    const profile = mkdtempSync(join(tmpdir(), 'splitcompute-'))
    return new Lane(await launchProfile(profile), proxy, profile)
  }

  async close(): Promise<void> {
    await this.context.close()
    await this.proxy.stop()
    rmSync(this.profile, { recursive: true, force: true })
  }
}
