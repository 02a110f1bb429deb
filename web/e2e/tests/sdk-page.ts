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

/** How often those are asked again whose device was slow, which is no fault on a busy machine, and after how long: it may rest. */
const ROUNDS = 12
const PAUSE_MS = 5_000

/** The embeddings of a list, all of them computed at one cut. */
export async function embedAt(page: Page, inputs: readonly string[], cut: number): Promise<number[][]> {
  return await page.evaluate(
    async ([list, at, rounds, pauseMs]) => {
      const { split } = globalThis as unknown as SdkPage
      const embeddings = new Map<number, number[]>()
      let reason: string | undefined
      for (let round = 0; round < rounds && embeddings.size < list.length; round++) {
        if (round > 0) {
          await new Promise((resolve) => setTimeout(resolve, pauseMs))
        }
        const missing = list.flatMap((_, i) => (embeddings.has(i) ? [] : [i]))
        const some = missing.map((i) => list[i] ?? '')
        const answers = await split.embed(some, { cut: at, timeoutMs: 3_600_000 })
        for (const [i, answer] of answers.entries()) {
          if (answer.cut === at) {
            embeddings.set(missing[i] ?? -1, Array.from(answer.embedding))
          } else {
            reason = answer.reason
          }
        }
      }
      if (embeddings.size < list.length) {
        throw new Error(`${list.length - embeddings.size} inputs were not answered at cut ${at}: ${reason}`)
      }
      return list.map((_, i) => embeddings.get(i) ?? [])
    },
    [inputs, cut, ROUNDS, PAUSE_MS] as const,
  )
}
