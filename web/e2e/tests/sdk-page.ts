import type { Page } from 'playwright-core'
import type { ConnectOptions, SplitCompute } from 'splitcompute'

/** What `openSdk` leaves in the page. */
export interface SdkPage {
  readonly SplitCompute: typeof SplitCompute
  split: SplitCompute
}

/**
 * Imports names from a module of the cloud into the page's globals. The document is one that the cloud itself serves: one that a
 * test makes up counts as of another network, from which a browser reaches no local S3.
 */
export async function importInto(page: Page, url: string, module: string, name: string): Promise<void> {
  await page.goto(`${url}/health`)
  await page.addScriptTag({
    type: 'module',
    content: `import { ${name} } from '/sdk/${module}'; window.${name} = ${name}`,
  })
  await page.waitForFunction((wanted) => wanted in globalThis, name)
}

/** Opens a page whose SDK is connected, and waits until all its layers are there. */
export async function openSdk(page: Page, url: string, options: Partial<ConnectOptions>): Promise<void> {
  await importInto(page, url, 'splitcompute.js', 'SplitCompute')
  await page.evaluate(async (given) => {
    const here = globalThis as unknown as SdkPage
    here.split = await here.SplitCompute.connect({ endpoint: '/', ...given } as ConnectOptions)
    await here.split.ready
  }, options)
}

/** A list of answers at a cut. */
export function embedAll(
  page: Page,
  inputs: readonly string[],
  cut: number,
): Promise<{ cut: number; embedding: number[] }[]> {
  return page.evaluate(
    async ([list, at]) => {
      const answers = await (globalThis as unknown as SdkPage).split.embed(list, {
        cut: at,
        timeoutMs: 600_000,
      })
      return answers.map(({ cut, embedding }) => ({ cut, embedding: Array.from(embedding) }))
    },
    [inputs, cut] as const,
  )
}
