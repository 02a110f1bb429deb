import type { Page, Worker as PlaywrightWorker } from 'playwright-core'
import type { HarnessPage } from './harness.ts'

/** What the hooks of the proxy's worker keep. */
interface HookedWorker {
  readonly gpus?: readonly GPUDevice[]
  stallMs: number
  /** A result is being kept back. */
  readonly stalled: boolean
  spoil: boolean
  /** How often it has begun to hash something. */
  readonly digests?: number
}

/** A worker that runs, and what it has not given back: GPU buffers, and files open on the disk. */
export interface Held {
  /** Its name: `splitcompute`, or `splitcompute-hashes` of one that hashes, which is there only while shards are downloaded. */
  readonly worker: string
  readonly buffers: number
  readonly handles: number
}

/** Longer than a worker takes to answer on two busy cores. */
const ANSWER_MS = 300

/** Destroys the GPU device in the page's newest worker, as soon as it has one, and waits for the next worker. */
export async function destroyGpu(page: Page): Promise<void> {
  await replaceWorker(page, async (worker) => {
    await worker.evaluate(async () => {
      const hooked = self as unknown as HookedWorker
      while (hooked.gpus === undefined || hooked.gpus.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      hooked.gpus.at(-1)?.destroy()
    })
  })
}

/**
 * Keeps back the next result of the page's newest worker, destroys its GPU device so many milliseconds later, and waits for the next
 * worker. The result does not come back by then; a device counts as slow after two seconds.
 */
export async function destroyGpuMidRun(page: Page, milliseconds: number): Promise<void> {
  await replaceWorker(page, async (worker) => {
    await worker.evaluate(async (ms) => {
      const hooked = self as unknown as HookedWorker
      hooked.stallMs = 60_000
      while (!hooked.stalled) {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await new Promise((resolve) => setTimeout(resolve, ms))
      hooked.gpus?.at(-1)?.destroy()
    }, milliseconds)
  })
}

/** Ends the page's newest worker without a word, as a browser that is short of memory does, and waits for the next one. */
export async function killWorker(page: Page): Promise<void> {
  await replaceWorker(page, async () => {
    await page.evaluate(() => (globalThis as unknown as HarnessPage).workers.at(-1)?.terminate())
  })
}

/** Keeps back the next result of the page's newest worker. */
export async function stallGpu(page: Page, milliseconds: number): Promise<void> {
  await (await newestWorker(page)).evaluate((ms) => {
    ;(self as unknown as HookedWorker).stallMs = ms
  }, milliseconds)
}

/** Spoils the next result of the page's newest worker, an embedding's or a canary's, and waits until that has happened. */
export async function spoilGpu(page: Page): Promise<void> {
  await (await newestWorker(page)).evaluate(async () => {
    const hooked = self as unknown as HookedWorker
    hooked.spoil = true
    while (hooked.spoil) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
}

/** What each of the SDK's workers holds, in all pages of this origin. */
export async function held(page: Page): Promise<Held[]> {
  return await page.evaluate(
    (ms) =>
      new Promise<Held[]>((resolve) => {
        const answers: Held[] = []
        const channel = new BroadcastChannel('held')
        channel.onmessage = ({ data }: MessageEvent<Held>) => answers.push(data)
        channel.postMessage('ask')
        setTimeout(() => {
          channel.close()
          resolve(answers)
        }, ms)
      }),
    ANSWER_MS,
  )
}

/** The page's worker that hashes, as soon as it has one: while shards are downloaded. */
export async function hashWorker(page: Page): Promise<PlaywrightWorker> {
  return await newest(page, 'splitcompute-hashes')
}

/** The page's newest worker that has a GPU, or is about to. */
export async function newestWorker(page: Page): Promise<PlaywrightWorker> {
  return await newest(page, 'splitcompute')
}

/** How often a worker has begun to hash something. */
export async function digestsOf(worker: PlaywrightWorker): Promise<number> {
  return await worker.evaluate(() => (self as unknown as HookedWorker).digests ?? 0)
}

async function replaceWorker(page: Page, end: (worker: PlaywrightWorker) => Promise<void>): Promise<void> {
  const worker = await newestWorker(page)
  const workers = () => page.evaluate(() => (globalThis as unknown as HarnessPage).workers.length)
  const before = await workers()
  await end(worker)
  while ((await workers()) === before) {
    await page.waitForTimeout(50)
  }
}

async function newest(page: Page, name: string): Promise<PlaywrightWorker> {
  for (;;) {
    for (const worker of page.workers().reverse()) {
      // One that has ended has no name any more.
      if ((await worker.evaluate(() => self.name).catch(() => '')) === name) {
        return worker
      }
    }
    await page.waitForTimeout(5)
  }
}
