import type { Page } from 'playwright-core'
import type { ConnectOptions, EmbedOptions, KeptShard, SplitCompute } from 'splitcompute'

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

/** Longer than a device rests that was slow. */
const CUT_MS = 45_000

/** The page as the functions here have left it. */
export interface HarnessPage {
  readonly SplitCompute: typeof SplitCompute
  split: SplitCompute
  splits?: SplitCompute[]
  /** Those that have a GPU, or had one. */
  workers: Worker[]
  outcomes: Outcome[]
  /** Why embeds went to another side since the last beginning, also where yet another one answered them in the end. */
  fallbacks: string[]
  asked: number
  ask: () => void
  timer: ReturnType<typeof setInterval>
}

/** Opens the proxy's page, which keeps the workers that have a GPU where a test can end them. */
export async function open(page: Page, url: string): Promise<void> {
  await page.goto(url)
  await page.waitForFunction(() => 'SplitCompute' in globalThis)
  await page.evaluate(() => {
    const harness = globalThis as unknown as HarnessPage
    const Original = globalThis.Worker
    harness.workers = []
    harness.fallbacks = []
    globalThis.Worker = class extends Original {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args)
        if (args[1]?.name === 'splitcompute') {
          harness.workers.push(this)
        }
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
    split.addEventListener('fallback', ({ detail }) => harness.fallbacks.push(detail.reason))
  }, settings)
}

/** Forgets what this origin keeps. A file that stays open cannot be removed: that fails. */
export async function clearStorage(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const folder = await navigator.storage.getDirectory()
    for (let attempts = 0; ; attempts++) {
      try {
        await folder.removeEntry('splitcompute', { recursive: true })
        break
      } catch (error) {
        const { name } = error as DOMException
        if (name === 'NotFoundError') {
          break
        }
        // The files of a worker that has just ended are let go a moment later.
        if (name !== 'NoModificationAllowedError' || attempts === 50) {
          throw error
        }
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    for (const name of await caches.keys()) {
      await caches.delete(name)
    }
  })
}

/** Removes what is kept as far as no worker has it open; tells how many files that were. */
export async function removeFiles(page: Page): Promise<number> {
  return await page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('splitcompute')
    const names: string[] = []
    for await (const name of folder.keys()) {
      names.push(name)
    }
    const removed = await Promise.allSettled(names.map((name) => folder.removeEntry(name)))
    return removed.filter(({ status }) => status === 'fulfilled').length
  })
}

/** The shards that are kept as whole ones and whose bytes are not those that their names promise. */
export async function damagedFiles(page: Page): Promise<string[]> {
  return await page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('splitcompute')
    const damaged: string[] = []
    for (const { sha256 } of await (globalThis as unknown as HarnessPage).split.storage.list()) {
      const handle = await folder.getFileHandle(`${sha256}.safetensors`)
      const digest = await crypto.subtle.digest('SHA-256', await (await handle.getFile()).arrayBuffer())
      const found = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
      if (found !== sha256) {
        damaged.push(sha256)
      }
    }
    return damaged
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
    harness.fallbacks = []
    harness.asked = 0
    harness.ask = () => {
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
    }
    harness.timer = setInterval(harness.ask, 250)
  }, inputs)
}

/** Asks for ever more embeds at once, until the first of them finds the device busy. */
export async function burst(page: Page): Promise<void> {
  const busy = await page.evaluate(async () => {
    const { split, ask } = globalThis as unknown as HarnessPage
    let found = false
    const told = (event: CustomEvent<{ reason: string }>) => {
      found ||= event.detail.reason.includes('busy')
    }
    split.addEventListener('fallback', told)
    for (let asked = 0; asked < 500 && !found; asked++) {
      ask()
      // The choice between the sides is made a few microtasks later.
      await new Promise<void>((resolve) => {
        const { port1, port2 } = new MessageChannel()
        port1.onmessage = () => resolve()
        port2.postMessage(undefined)
      })
    }
    split.removeEventListener('fallback', told as EventListener)
    return found
  })
  if (!busy) {
    throw new Error('The device was not busy with 500 embeds.')
  }
}

/** Waits until so many embeds were answered at a cut. */
export async function waitForAnswers(page: Page, cut: number, count: number): Promise<void> {
  await page.waitForFunction(
    ([at, least]) =>
      (globalThis as unknown as HarnessPage).outcomes.filter((outcome) => outcome.cut === at).length >= least,
    [cut, count] as const,
    { timeout: 20_000, polling: 50 },
  )
}

/** Waits until an embed says why the other side answered it, with these words. */
export async function waitForReason(page: Page, words: string): Promise<void> {
  await page.waitForFunction(
    (said) =>
      (globalThis as unknown as HarnessPage).outcomes.some(({ reason }) => reason?.includes(said) === true),
    words,
    { timeout: 10_000, polling: 50 },
  )
}

/** Waits until an embed has gone to another side for a reason with these words. */
export async function waitForFallback(page: Page, words: string): Promise<void> {
  await page.waitForFunction(
    (said) => (globalThis as unknown as HarnessPage).fallbacks.some((reason) => reason.includes(said)),
    words,
    { timeout: 10_000, polling: 50 },
  )
}

/** Hides the page as far as its scripts can tell: headless, every page is visible. */
export async function hide(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate((away) => {
    if (away) {
      Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })
    } else {
      Reflect.deleteProperty(document, 'visibilityState')
    }
    document.dispatchEvent(new Event('visibilitychange'))
  }, hidden)
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
export async function waitForCut(page: Page, cut: number): Promise<void> {
  try {
    await page.waitForFunction(
      (most) => (globalThis as unknown as HarnessPage).splits?.every(({ cut }) => cut <= most),
      cut,
      { timeout: CUT_MS, polling: 50 },
    )
  } catch (cause) {
    const progress = await page.evaluate(() =>
      (globalThis as unknown as HarnessPage).splits?.map((split) => split.progress),
    )
    throw new Error(`Cut ${cut} was not reached: ${JSON.stringify(progress)}`, { cause })
  }
}

/** Waits until a share of all bytes has arrived; tells which, for more may have come meanwhile. */
export async function waitForBytes(page: Page, share: number): Promise<number> {
  const found = await page.waitForFunction(
    (least) => {
      const { loaded, total } = (globalThis as unknown as HarnessPage).split.progress
      return loaded > 0 && loaded >= least * total ? loaded / total : undefined
    },
    share,
    { polling: 5 },
  )
  return (await found.jsonValue()) as number
}

/** Waits until a unit is on the device. */
export async function waitForUnit(page: Page, unit: string): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      (globalThis as unknown as HarnessPage).split.progress.units.find(({ name }) => name === wanted)
        ?.state === 'loaded',
    unit,
    { polling: 5 },
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

/** What the client lists as kept. */
export async function listKept(page: Page): Promise<KeptShard[]> {
  return await page.evaluate(() => (globalThis as unknown as HarnessPage).split.storage.list())
}

/** Has the client forget what is kept. */
export async function clearKept(page: Page): Promise<void> {
  await page.evaluate(() => (globalThis as unknown as HarnessPage).split.storage.clear())
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
