import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import type { SplitCompute } from 'splitcompute'
import { launchBrowser, launchProfile } from '../tests/browser.ts'
import { FaultProxy } from '../tests/fault-proxy.ts'
import { LocalCloud } from '../tests/local-cloud.ts'
import { version, writeProof } from '../tests/proof.ts'
import { count, layerTensors, ONE_LAYER, writeGpt2Xl } from './gpt2-xl.ts'

// Measures how weights come to a page: one layer of GPT-2 XL in f16, cold and warm, beside what cannot be beaten (the same
// bytes drained, the same file read and uploaded) and beside the loader of the origin of the idea, base64 in JSON. Then the first answer of
// a page with an empty cache beside the cloud alone. Writes docs/proofs/loading.json, but for fewer rounds than are the default,
// prints what was asked beside what was measured, and fails where a bound is missed.

/** An even number: what is alternated by round comes first as often as second. */
const PROOF_ROUNDS = 6
const PROOF_FIRST_ANSWERS = 20
const ROUNDS = Number(process.env.ROUNDS ?? PROOF_ROUNDS)
const FIRST_ANSWERS = Number(process.env.FIRST_ANSWERS ?? PROOF_FIRST_ANSWERS)
const THROTTLED_BYTES_PER_SECOND = 200e6 / 8
const MODEL = 'xl-layer'

interface BenchPage {
  readonly SplitCompute: typeof SplitCompute
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[sorted.length >> 1] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[(sorted.length >> 1) - 1] ?? Number.NaN)) / 2
}

/** A page of another origin that has the SDK. */
function servePage(sdk: string) {
  return createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' })
    response.end(
      `<!doctype html><title>Bench</title><script type="module">import { SplitCompute } from '${sdk}/sdk/splitcompute.js'; window.SplitCompute = SplitCompute</script>`,
    )
  })
}

/** The layer's tensors in f32, a file each, and the server that the origin of the idea has for them. */
async function serveBase64(folder: string) {
  mkdirSync(folder)
  const names = layerTensors(0).map(([name, shape]) => {
    writeFileSync(join(folder, name), Float32Array.from({ length: count(shape) }, Math.random))
    return name
  })
  const root = join(import.meta.dirname, '../../..')
  const python = execFileSync(join(root, 'infra/python/environment'), ['flask'], { encoding: 'utf8' }).trim()
  const server = spawn(join(python, 'bin/python'), [join(import.meta.dirname, 'origin_server.py'), folder], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const ended = once(server, 'exit').then(() => {
    throw new Error('The server of the origin did not start.')
  })
  const [port] = (await Promise.race([once(server.stdout.setEncoding('utf8'), 'data'), ended])) as string[]
  return {
    urls: names.map((name) => `http://127.0.0.1:${port?.trim()}/tensors/${name}`),
    stop: () => server.stdin.end(),
  }
}

async function openPage(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(url)
  await page.waitForFunction(() => 'SplitCompute' in globalThis)
  return page
}

/** The layer's shard to the page's GPU, by the SDK. */
async function load(page: Page, endpoint: string): Promise<{ bytes: number; canary: number; from: string }> {
  return await page.evaluate(
    async ([at, model]) => {
      const { SplitCompute } = globalThis as unknown as BenchPage
      const split = await SplitCompute.connect({ endpoint: at, model, dtype: 'f16' })
      await split.ready
      const unit = split.progress.units.find(({ name }) => name === 'layer.0')
      const { phase, reason } = split.progress
      await split.close()
      if (unit?.milliseconds === undefined) {
        throw new Error(`The layer did not load: ${phase}, ${reason}`)
      }
      return { ...unit.milliseconds, from: unit.from ?? '' }
    },
    [endpoint, MODEL] as const,
  )
}

/** The layer's kept shard to the page's GPU, by the SDK, in milliseconds. */
async function loadWarm(page: Page, endpoint: string): Promise<number> {
  const { bytes, from } = await load(page, endpoint)
  if (from !== 'disk') {
    throw new Error('The second load was not warm.')
  }
  return bytes
}

/** The same bytes read to their end and dropped, in a worker. */
async function drain(page: Page, endpoint: string): Promise<number> {
  return await page.evaluate(
    async ([at, model]) => {
      const manifest = (await (await fetch(`${at}/v1/models/${model}/manifest`)).json()) as {
        units: { name: string; variants: { f16: { sha256: string } } }[]
      }
      const sha256 = manifest.units.find(({ name }) => name === 'layer.0')?.variants.f16.sha256
      const signed = await fetch(`${at}/v1/models/${model}/shards`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ shards: [sha256] }),
      })
      const { urls } = (await signed.json()) as { urls: { url: string }[] }
      const script = `onmessage = async ({ data: url }) => {
        const start = performance.now()
        const reader = (await fetch(url, { cache: 'no-store' })).body.getReader({ mode: 'byob' })
        let view = new Uint8Array(4 * 1024 * 1024)
        for (;;) {
          const { value, done } = await reader.read(view, { min: view.byteLength })
          if (done) break
          view = new Uint8Array(value.buffer)
        }
        postMessage(performance.now() - start)
      }`
      const worker = new Worker(URL.createObjectURL(new Blob([script])))
      const ms = await new Promise<number>((resolve) => {
        worker.onmessage = ({ data }) => resolve(data as number)
        worker.postMessage(urls[0]?.url)
      })
      worker.terminate()
      return ms
    },
    [endpoint, MODEL] as const,
  )
}

/** The kept file read by a sync handle and uploaded, without anything else: what a warm load cannot beat. */
async function readAndUpload(page: Page): Promise<number> {
  return await page.evaluate(async () => {
    const script = `onmessage = async () => {
      const device = await (await navigator.gpu.requestAdapter()).requestDevice()
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('splitcompute')
      let largest
      for await (const [name, handle] of folder.entries()) {
        const { size } = await handle.getFile()
        if (largest === undefined || size > largest.size) largest = { handle, size }
      }
      const file = await largest.handle.createSyncAccessHandle()
      const buffer = device.createBuffer({ size: largest.size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST })
      const part = new Uint8Array(4 * 1024 * 1024)
      const start = performance.now()
      for (let at = 0; at < largest.size; at += part.byteLength) {
        const read = file.read(part, { at })
        device.queue.writeBuffer(buffer, at, part, 0, read)
      }
      const ms = performance.now() - start
      file.close()
      device.destroy()
      postMessage(ms)
    }`
    const worker = new Worker(URL.createObjectURL(new Blob([script])))
    const ms = await new Promise<number>((resolve) => {
      worker.onmessage = ({ data }) => resolve(data as number)
      worker.postMessage(0)
    })
    worker.terminate()
    return ms
  })
}

/**
 * The layer as the origin of the idea loads it (github.com/tanmaysachan/splitcompute, `static/model_loading_utils.js`, and `storage.ts` of
 * its webgpu-torch): f32 as base64 in JSON, one request a tensor, one after the other; `atob`, a loop over its characters, an array of
 * numbers, and that to a mapped GPU buffer number by number. From its kind of server, too.
 */
async function loadBase64(page: Page, urls: readonly string[]): Promise<number> {
  return await page.evaluate(async (tensors) => {
    const adapter = await navigator.gpu.requestAdapter()
    const device = await adapter?.requestDevice()
    if (device === undefined) {
      throw new Error('No GPU.')
    }
    const start = performance.now()
    for (const url of tensors) {
      const { layer } = (await (await fetch(url)).json()) as { layer: string }
      const text = atob(layer)
      const bytes = new Uint8Array(text.length)
      for (let at = 0; at < text.length; at++) {
        bytes[at] = text.charCodeAt(at)
      }
      const numbers = Array.from(new Float32Array(bytes.buffer))
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
      const buffer = device.createBuffer({ mappedAtCreation: true, size: 4 * numbers.length, usage })
      const mapped = new Float32Array(buffer.getMappedRange())
      for (let at = 0; at < numbers.length; at++) {
        mapped[at] = numbers[at] ?? 0
      }
      buffer.unmap()
    }
    const ms = performance.now() - start
    device.destroy()
    return ms
  }, urls)
}

async function firstAnswer(page: Page, endpoint: string, alone: boolean): Promise<number> {
  return await page.evaluate(
    async ([at, withoutDevice]) => {
      const { SplitCompute } = globalThis as unknown as BenchPage
      const body = JSON.stringify({ model: 'bookworm', input: 'Rain fell.' })
      const headers = { 'Content-Type': 'application/json' }
      if (withoutDevice) {
        await fetch(`${at}/v1/models/bookworm/manifest`).then((response) => response.arrayBuffer())
        const start = performance.now()
        await fetch(`${at}/v1/embed`, { method: 'POST', headers, body }).then((response) => response.json())
        return performance.now() - start
      }
      const split = await SplitCompute.connect({ endpoint: at, model: 'bookworm', dtype: 'f16' })
      const start = performance.now()
      await split.embed('Rain fell.')
      return performance.now() - start
    },
    [endpoint, alone] as const,
  )
}

async function measureLayer(
  context: BrowserContext,
  cloud: { readonly url: string },
  url: string,
  tensors: readonly string[],
  throttled: boolean,
) {
  const figures = {
    drained: [] as number[],
    cold: [] as number[],
    canary: [] as number[],
    warm: [] as number[],
    read: [] as number[],
    base64: [] as number[],
  }
  for (let i = 0; i < ROUNDS; i++) {
    const page = await openPage(context, url)
    await page.evaluate(async () => {
      const root = await navigator.storage.getDirectory()
      await root.removeEntry('splitcompute', { recursive: true }).catch(() => undefined)
    })
    const fromNetwork = [
      async () => figures.drained.push(await drain(page, cloud.url)),
      async () => {
        const cold = await load(page, cloud.url)
        figures.cold.push(cold.bytes)
        figures.canary.push(cold.canary)
      },
    ]
    // Whoever comes second finds the server warm.
    for (const measure of i % 2 === 0 ? fromNetwork : fromNetwork.reverse()) {
      await measure()
    }
    if (!throttled) {
      const fromDisk = [
        async () => figures.read.push(await readAndUpload(page)),
        async () => figures.warm.push(await loadWarm(page, cloud.url)),
      ]
      // Whoever comes second finds the file read and the GPU awake.
      for (const measure of i % 2 === 0 ? fromDisk : fromDisk.reverse()) {
        await measure()
      }
      figures.base64.push(await loadBase64(page, tensors))
    }
    await page.close()
  }
  return Object.fromEntries(Object.entries(figures).map(([name, values]) => [name, median(values)]))
}

/** What a figure is to be, and what it is. */
interface Bound {
  readonly what: string
  readonly asked: string
  readonly measured: string
  readonly met: boolean
}

function atMost(what: string, measured: number, most: number): Bound {
  return { what, asked: `at most ${most}x`, measured: `${measured.toFixed(3)}x`, met: measured <= most }
}

function atLeast(what: string, measured: number, least: number): Bound {
  return { what, asked: `at least ${least}x`, measured: `${measured.toFixed(3)}x`, met: measured >= least }
}

/** @returns whether all of them are met */
function printBounds(bounds: readonly Bound[]): boolean {
  for (const { what, asked, measured, met } of bounds) {
    console.log(`${met ? 'met   ' : 'MISSED'}  ${what}: ${measured}, asked ${asked}`)
  }
  return bounds.every(({ met }) => met)
}

// What is measured is loaded by then.
const commit = version()
const folder = mkdtempSync(join(tmpdir(), 'splitcompute-bench-'))
writeGpt2Xl(join(folder, MODEL), ONE_LAYER)
// First: it may have to be installed, and fail.
const origin = await serveBase64(join(folder, 'tensors'))
const cloud = await LocalCloud.start({}, [join(folder, MODEL), 'bookworm'])
const server = servePage(cloud.url)
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
const context = await launchProfile(join(folder, 'profile'))
const browser = await launchBrowser({ webgpu: true })
try {
  const loopback = await measureLayer(context, cloud, url, origin.urls, false)
  const slow = await FaultProxy.start(cloud.url)
  slow.bytesPerSecond = THROTTLED_BYTES_PER_SECOND
  const throttled = await measureLayer(context, slow, url, origin.urls, true)
  await slow.stop()
  const split: number[] = []
  const alone: number[] = []
  for (let i = 0; i < FIRST_ANSWERS; i++) {
    for (const [values, withoutDevice] of [
      [split, false],
      [alone, true],
    ] as const) {
      const fresh = await browser.newContext()
      values.push(await firstAnswer(await openPage(fresh, url), cloud.url, withoutDevice))
      await fresh.close()
    }
  }
  const ratio = (a = Number.NaN, b = Number.NaN) => a / b
  const first = { split: median(split), cloudAlone: median(alone) }
  const ratios = {
    coldToDrainedOnLoopback: ratio(loopback.cold, loopback.drained),
    coldToDrainedAt200MbitPerSecond: ratio(throttled.cold, throttled.drained),
    warmToReadAndUpload: ratio(loopback.warm, loopback.read),
    base64ToCold: ratio(loopback.base64, loopback.cold),
    base64ToWarm: ratio(loopback.base64, loopback.warm),
    firstAnswerToCloudAlone: ratio(first.split, first.cloudAlone),
  }
  const result = {
    date: new Date().toISOString().slice(0, 10),
    commit,
    machine: `${cpus().length} x ${cpus()[0]?.model}`,
    rounds: ROUNDS,
    firstAnswers: FIRST_ANSWERS,
    milliseconds: { loopback, throttled, firstAnswer: first },
    ratios: Object.fromEntries(
      Object.entries(ratios).map(([name, value]) => [name, Number(value.toFixed(2))]),
    ),
  }
  if (ROUNDS >= PROOF_ROUNDS && FIRST_ANSWERS >= PROOF_FIRST_ANSWERS) {
    writeProof('loading.json', result)
  }
  console.log(JSON.stringify(result, null, 2))
  const firstMost = Math.max(1.05 * first.cloudAlone, first.cloudAlone + 20)
  const met = printBounds([
    atMost('cold load to draining, at 200 Mbit/s', ratios.coldToDrainedAt200MbitPerSecond, 1.1),
    atMost('cold load to draining, from loopback', ratios.coldToDrainedOnLoopback, 2.2),
    atMost('warm load to reading and uploading alone', ratios.warmToReadAndUpload, 1.3),
    atLeast('base64 in JSON to a cold load', ratios.base64ToCold, 12),
    atLeast('base64 in JSON to a warm load', ratios.base64ToWarm, 60),
    {
      what: 'first answer',
      asked: `at most ${firstMost.toFixed(1)} ms: 1.05x of the cloud alone or 20 ms more`,
      measured: `${first.split.toFixed(1)} ms`,
      met: first.split <= firstMost,
    },
  ])
  process.exitCode = met ? 0 : 1
} finally {
  await context.close()
  await browser.close()
  server.close()
  origin.stop()
  await cloud.stop()
  rmSync(folder, { recursive: true, force: true })
}
