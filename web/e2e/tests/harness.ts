import type { Page, Worker as PlaywrightWorker } from 'playwright-core'
import type { ConnectOptions, EmbedOptions, SplitCompute } from 'splitcompute'

/** How one embed ended. */
export interface Outcome {
  readonly input: number
  readonly embedding?: readonly number[]
  readonly cut?: number
  readonly reason?: string
  /** Of the typed error that it rejected with; empty for one that is not typed. */
  readonly code?: string
}

/** What a test asks for otherwise; an undefined `workerUrl` is the worker that the SDK brings. */
export type ConnectChoices = Omit<Partial<ConnectOptions>, 'workerUrl'> & { workerUrl?: string | undefined }

interface HarnessPage {
  readonly SplitCompute: typeof SplitCompute
  split: SplitCompute
  splits?: SplitCompute[]
  workers: Worker[]
  outcomes: Outcome[]
  asked: number
  timer: ReturnType<typeof setInterval>
}

/** Opens the proxy's page, which keeps its workers where a test can end them. */
export async function open(page: Page, url: string): Promise<void> {
  await page.goto(url)
  await page.waitForFunction(() => 'SplitCompute' in globalThis)
  await page.evaluate(() => {
    const harness = globalThis as unknown as HarnessPage
    const Original = globalThis.Worker
    harness.workers = []
    globalThis.Worker = class extends Original {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args)
        harness.workers.push(this)
      }
    }
  })
}

/** Connects by the worker that tests can reach into; a page may have several instances, which embed in turn. */
export async function connect(page: Page, options: ConnectChoices = {}): Promise<void> {
  const settings = {
    endpoint: '/',
    model: 'gpt2-plain',
    dtype: 'f32' as const,
    workerUrl: '/worker.js',
    ...options,
  }
  await page.evaluate(async (given) => {
    const harness = globalThis as unknown as HarnessPage
    const split = await harness.SplitCompute.connect(given as ConnectOptions)
    harness.splits = [...(harness.splits ?? []), split]
    harness.split = split
  }, settings)
}

/** Forgets what this origin keeps. */
export async function clearStorage(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const folder = await navigator.storage.getDirectory()
    await folder.removeEntry('splitcompute', { recursive: true }).catch(() => undefined)
    for (const name of await caches.keys()) {
      await caches.delete(name)
    }
  })
}

/** Begins to embed one input after the other, four a second, as long as it is not stopped. */
export async function startEmbedding(
  page: Page,
  inputs: readonly (readonly number[] | string)[],
): Promise<void> {
  await page.evaluate((list) => {
    const harness = globalThis as unknown as HarnessPage
    const splits = harness.splits ?? []
    harness.outcomes = []
    harness.asked = 0
    harness.timer = setInterval(() => {
      const split = splits[harness.asked % splits.length] ?? harness.split
      const input = harness.asked++ % list.length
      split.embed(list[input] as string).then(
        ({ embedding, cut, reason }) =>
          harness.outcomes.push({
            input,
            embedding: Array.from(embedding),
            cut,
            ...(reason === undefined ? {} : { reason }),
          }),
        (error: { name?: string; code?: string }) =>
          harness.outcomes.push({
            input,
            code: error.name === 'SplitComputeError' ? (error.code ?? '') : '',
          }),
      )
    }, 250)
  }, inputs)
}

/** Stops, and waits until every embed that was asked for has ended; gives up after their time, for what is missing is counted. */
export async function stopEmbedding(page: Page): Promise<{ asked: number; outcomes: Outcome[] }> {
  await page.evaluate(() => clearInterval((globalThis as unknown as HarnessPage).timer))
  await page
    .waitForFunction(
      () => {
        const { asked, outcomes } = globalThis as unknown as HarnessPage
        return outcomes.length >= asked
      },
      undefined,
      { timeout: 45_000 },
    )
    .catch(() => undefined)
  // One that ended twice would come a little later.
  await page.waitForTimeout(100)
  return await page.evaluate(() => {
    const { asked, outcomes } = globalThis as unknown as HarnessPage
    return { asked, outcomes }
  })
}

/** One embed, and the bytes that it cost. */
export async function embed(
  page: Page,
  input: string | readonly number[],
  options: EmbedOptions = {},
): Promise<{ embedding: number[]; cut: number; bytes: { sent: number; received: number } }> {
  return await page.evaluate(
    async ([what, how]) => {
      const { split } = globalThis as unknown as HarnessPage
      const { embedding, cut, ledger } = await split.embed(what as string, how)
      return { embedding: Array.from(embedding), cut, bytes: ledger.bytes }
    },
    [input, options] as const,
  )
}

/** What has arrived of each unit, in bytes, and what works less well than it could. */
export async function progress(
  page: Page,
): Promise<{ loadedOf: Record<string, number>; warning: string | undefined }> {
  return await page.evaluate(() => {
    const { units, warning } = (globalThis as unknown as HarnessPage).split.progress
    return { loadedOf: Object.fromEntries(units.map(({ name, loaded }) => [name, loaded])), warning }
  })
}

/** Waits until so many layers stay in the cloud, or fewer. */
export async function waitForCut(page: Page, cut: number, timeout = 30_000): Promise<void> {
  await page.waitForFunction(
    (most) => (globalThis as unknown as HarnessPage).splits?.every(({ cut }) => cut <= most),
    cut,
    { timeout },
  )
}

/** What came from the network and what from the disk, by unit. */
export async function sources(page: Page): Promise<Record<string, string>> {
  return await page.evaluate(() =>
    Object.fromEntries(
      (globalThis as unknown as HarnessPage).split.progress.units.map(({ name, from }) => [name, from ?? '']),
    ),
  )
}

/** Destroys the GPU device in the page's newest worker, as soon as it has one. */
export async function destroyGpu(page: Page): Promise<void> {
  const worker = await newestWorker(page)
  await worker.evaluate(async () => {
    const { gpus } = self as unknown as { gpus?: GPUDevice[] }
    while (gpus === undefined || gpus.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    gpus.at(-1)?.destroy()
  })
}

/** GPU buffers that live in the page's newest worker. */
export async function liveBuffers(page: Page): Promise<number> {
  const worker = await newestWorker(page)
  return await worker.evaluate(() => (self as unknown as { buffers: number }).buffers)
}

/** Ends the page's newest worker without a word, as a browser that is short of memory does, and waits for the next one. */
export async function killWorker(page: Page): Promise<void> {
  await newestWorker(page)
  const workers = () => page.evaluate(() => (globalThis as unknown as HarnessPage).workers.length)
  const before = await workers()
  await page.evaluate(() => (globalThis as unknown as HarnessPage).workers.at(-1)?.terminate())
  while ((await workers()) === before) {
    await page.waitForTimeout(100)
  }
}

/** The one that has the GPU; while it downloads, it has one of its own, from a blob, that hashes. */
async function newestWorker(page: Page): Promise<PlaywrightWorker> {
  for (;;) {
    const worker = page
      .workers()
      .filter((candidate) => !candidate.url().startsWith('blob:'))
      .at(-1)
    if (worker !== undefined) {
      return worker
    }
    await page.waitForTimeout(5)
  }
}

/** Closes every instance of the page. */
export async function close(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const harness = globalThis as unknown as HarnessPage
    await Promise.all((harness.splits ?? []).map((split) => split.close()))
    harness.splits = []
  })
}

export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? Number.NaN, b[i] ?? Number.NaN]
    dot += x * y
    aa += x * x
    bb += y * y
  }
  return dot / Math.sqrt(aa * bb)
}
