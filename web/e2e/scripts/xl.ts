import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { launchBrowser } from '../tests/browser.ts'
import { cosine } from '../tests/harness.ts'
import { LOCAL_JAR } from '../tests/local-cloud.ts'
import { writeProof } from '../tests/proof.ts'
import { tensorBytes } from '../tests/safetensors.ts'
import { embedAt, openSdk, type SdkPage } from '../tests/sdk-page.ts'
import { type Memory, runMeasured, sampleMachine, sampleMemory } from './child-memory.ts'
import { WHOLE, writeGpt2Xl, writeTokenizer } from './gpt2-xl.ts'

// Proves that GPT-2 XL goes from a checkpoint to a split answer within 24 GiB of memory: a checkpoint of its shape with random
// weights is sharded, published to the S3 that SPLITCOMPUTE_TEST_S3_ENDPOINT names and verified there, served from it by head and catalog in
// one process, asked at three cuts, and embedded by headless Chromium from the cut that its memory allows on. Writes docs/proofs/xl.json.
// It needs Linux and 30 GB of disk in the folder for temporary files: infra/localstack npm --prefix web run xl, DTYPES=f16,q8 for more.

const MODEL = 'gpt2-xl'
const LAYERS = WHOLE.layers
const HIDDEN_SIZE = 1_600
const GIB = 2 ** 30
const DISK = 30e9
/** What phones give by default. */
const DEVICE_MEMORY = 512 * 2 ** 20
const TEXTS = [
  'It was a dark night, and rain fell on the roofs of the town.',
  'The committee will publish its report on the harbour in March.',
  'Whoever sows early reaps late, as my grandmother used to say.',
  '0123456789 plus 42 is 123456831.',
]
/** Made by the sharder, and embedded with on the device. */
const DTYPES = (process.env.DTYPES ?? 'f16').split(',') as Dtype[]
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
const WEIGHTS_JAR =
  process.env.SPLITCOMPUTE_WEIGHTS_JAR ??
  fileURLToPath(new URL('../../../weights/target/splitcompute-weights.jar', import.meta.url))

type Json = Record<string, unknown>
type Dtype = 'f32' | 'f16' | 'q8' | 'q4'

function say(what: string): void {
  console.error(`${new Date().toISOString().slice(11, 19)} ${what}`)
}

function require(holds: boolean, what: string): void {
  if (!holds) {
    throw new Error(`Not proved: ${what}.`)
  }
}

const rounded = ({ anonymous, resident }: Memory) => ({ anonymousBytes: anonymous, residentBytes: resident })

function weights(...args: string[]) {
  return runMeasured('java', ['-jar', WEIGHTS_JAR, ...args], CREDENTIALS)
}

async function shard(checkpoint: string, store: string): Promise<Json> {
  say('Sharding')
  const took = await weights('shard', checkpoint, '--out', store, '--dtype', DTYPES.join())
  require(took.anonymous <=
    GIB, `sharding took ${took.anonymous} bytes above the mapped file, more than 1 GiB`)
  return { dtypes: DTYPES, seconds: Math.round(took.seconds), ...rounded(took) }
}

/** Makes a bucket that pages of any origin may read. */
async function makeBucket(endpoint: string, bucket: string): Promise<void> {
  const rule =
    '<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader>' +
    '<ExposeHeader>Content-Range</ExposeHeader><ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>'
  // LocalStack takes whoever names test for its owner.
  const headers = { Authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request' }
  for (const [query, body] of [
    ['', ''],
    ['?cors', rule],
  ]) {
    const made = await fetch(`${endpoint}/${bucket}${query}`, { method: 'PUT', headers, body: body ?? '' })
    require(made.ok, `the bucket cannot be made: ${made.status} ${await made.text()}`)
  }
}

async function publish(store: string, endpoint: string, bucket: string): Promise<Json> {
  await makeBucket(endpoint, bucket)
  const where = ['--bucket', bucket, '--endpoint', endpoint, '--path-style']
  say('Publishing')
  const sent = await weights('publish', store, ...where)
  say('Verifying')
  const verified = await weights('verify', ...where)
  return {
    publish: { seconds: Math.round(sent.seconds), ...rounded(sent) },
    verify: { seconds: Math.round(verified.seconds), ...rounded(verified) },
  }
}

async function ask(url: string, body: Json): Promise<Response> {
  const response = await fetch(`${url}/v1/embed`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: MODEL, ...body }),
  })
  if (!response.ok) {
    throw new Error(`At cut ${body.cut}: ${response.status} ${await response.text()}`)
  }
  return response
}

/** How many parts the largest shard was uploaded in, which S3 writes behind its tag. */
async function partsOfLargestShard(url: string): Promise<Json> {
  const manifest = (await (await fetch(`${url}/v1/models/${MODEL}/manifest`)).json()) as {
    units: { variants: Record<string, { sha256: string; bytes: number }> }[]
  }
  const shards = manifest.units.flatMap(({ variants }) => Object.values(variants))
  const largest = shards.reduce((a, b) => (b.bytes > a.bytes ? b : a))
  const signed = await fetch(`${url}/v1/models/${MODEL}/shards`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ shards: [largest.sha256] }),
  })
  const { urls } = (await signed.json()) as { urls: { url: string }[] }
  const first = await fetch(urls[0]?.url ?? '', { headers: { Range: 'bytes=0-0' } })
  const parts = Number(/-(\d+)"?$/.exec(first.headers.get('ETag') ?? '')?.[1])
  require(parts > 1, `the largest shard was not uploaded in parts: ${first.headers.get('ETag')}`)
  return { largestShardBytes: largest.bytes, uploadedInParts: parts }
}

/** Milliseconds of one request at cut 0, half way and n; and the embeddings of all texts by the cloud alone. */
async function askAtCuts(url: string): Promise<{ milliseconds: Json; embeddings: number[][] }> {
  const milliseconds: Json = {}
  let embeddings: number[][] = []
  for (const cut of [0, LAYERS / 2, LAYERS]) {
    say(`Asking at cut ${cut}`)
    const start = performance.now()
    const response = await ask(url, { input: TEXTS, cut, dtype: 'f32' })
    if (cut === LAYERS) {
      embeddings = ((await response.json()) as { embeddings: number[][] }).embeddings
    } else {
      const message = new Uint8Array(await response.arrayBuffer())
      const tokens = tensorBytes(message, 'tokens').byteLength / Int32Array.BYTES_PER_ELEMENT
      if (cut > 0) {
        const hidden = tensorBytes(message, 'hidden')
        require(hidden.byteLength ===
          tokens * HIDDEN_SIZE * Float32Array.BYTES_PER_ELEMENT, 'the activations have another size')
        require(new Float32Array(hidden.buffer).every(Number.isFinite), 'the activations are finite')
      }
    }
    milliseconds[cut] = Math.round(performance.now() - start)
  }
  return { milliseconds, embeddings }
}

async function embedSplit(
  browser: Browser,
  url: string,
  dtype: Dtype,
  expected: readonly number[][],
): Promise<Json> {
  say(`Loading layers in ${dtype} in headless Chromium`)
  const page = await browser.newPage()
  page.setDefaultTimeout(0)
  await openSdk(page, url, { model: MODEL, dtype, memory: DEVICE_MEMORY })
  const { cut, reason } = await page.evaluate(async () => {
    const { split } = globalThis as unknown as SdkPage
    return { cut: await split.ready, reason: split.progress.reason }
  })
  require(cut < LAYERS, `no layer came to the device: ${reason}`)
  say(`Embedding at cut ${cut}`)
  const embeddings = await embedAt(page, TEXTS, cut)
  await page.evaluate(() => (globalThis as unknown as SdkPage).split.close())
  await page.close()
  const cosines = embeddings.map((embedding, i) => cosine(embedding, expected[i] ?? []))
  const leastCosine = Math.min(...cosines)
  require(leastCosine > 0.999, `the cosine in ${dtype} at cut ${cut} is ${leastCosine}`)
  return { dtype, cut, layersOnDevice: LAYERS - cut, leastCosine }
}

/** The greatest cosine of different texts: how near is no proof. */
function nearestOthers(embeddings: readonly number[][]): number {
  return Math.max(
    ...embeddings.flatMap((a, i) => embeddings.flatMap((b, k) => (i < k ? [cosine(a, b)] : []))),
  )
}

/** Head and catalog in one process, as the local cloud has them, on a bucket. */
async function serve(endpoint: string, bucket: string, cache: string): Promise<Json> {
  say('Starting head and catalog')
  const start = performance.now()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn('java', ['-cp', LOCAL_JAR, 'io.splitcompute.head.HeadApplication'], {
    env: {
      ...process.env,
      ...CREDENTIALS,
      MICRONAUT_SERVER_PORT: String(port),
      SPLITCOMPUTE_WEIGHTS: `s3:${bucket}`,
      SPLITCOMPUTE_S3_ENDPOINT: endpoint,
      SPLITCOMPUTE_PATH_STYLE: 'true',
      SPLITCOMPUTE_CACHE_FOLDER: cache,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const peaks = sampleMemory(child.pid ?? 0)
  let browser: Browser | undefined
  try {
    while (!(await isReady(url))) {
      require(child.exitCode === null, `head and catalog ended with ${child.exitCode}`)
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    const seconds = Math.round((performance.now() - start) / 1_000)
    const published = await partsOfLargestShard(url)
    const { milliseconds, embeddings } = await askAtCuts(url)
    browser = await launchBrowser({ webgpu: true })
    const split: Json[] = []
    for (const dtype of DTYPES) {
      split.push(await embedSplit(browser, url, dtype, embeddings))
    }
    return {
      secondsToReady: seconds,
      ...published,
      millisecondsAtCut: milliseconds,
      ...rounded(peaks()),
      split,
      nearestOtherTextsCosine: nearestOthers(embeddings),
    }
  } finally {
    peaks()
    await browser?.close()
    child.kill()
    await ended
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).ok
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

mkdirSync(tmpdir(), { recursive: true })
const { bavail, bsize } = statfsSync(tmpdir())
require(bavail * bsize >= DISK, `${tmpdir()} has less than ${DISK / 1e9} GB free`)
require(existsSync(WEIGHTS_JAR) && existsSync(LOCAL_JAR), 'build first: ./mvnw -DskipTests package')
const endpoint = process.env.SPLITCOMPUTE_TEST_S3_ENDPOINT ?? ''
require(endpoint !==
  '', 'SPLITCOMPUTE_TEST_S3_ENDPOINT names no S3: infra/localstack npm --prefix web run xl')
const folder = mkdtempSync(join(tmpdir(), 'splitcompute-xl-'))
const used = sampleMachine()
try {
  const checkpoint = join(folder, MODEL)
  say('Writing the checkpoint')
  writeGpt2Xl(checkpoint, WHOLE)
  writeTokenizer(checkpoint)
  const store = join(folder, 'store')
  const sharding = await shard(checkpoint, store)
  const bucket = `xl-${process.pid}`
  const publishing = await publish(store, endpoint, bucket)
  rmSync(store, { recursive: true })
  const cloud = await serve(endpoint, bucket, join(folder, 'cache'))
  const machineBytes = used()
  require(machineBytes <= 24 * GIB, `the machine had ${machineBytes} bytes in use`)
  const proof = {
    machine: `${cpus().length} x ${cpus()[0]?.model}, ${(totalmem() / GIB).toFixed(1)} GiB`,
    checkpointBytes: statSync(join(checkpoint, 'model.safetensors')).size,
    shard: sharding,
    ...publishing,
    headAndCatalog: cloud,
    // Of everything that ran on the machine, the file cache aside.
    machineBytesInUse: machineBytes,
  }
  writeProof('xl.json', proof)
  console.log(JSON.stringify(proof, null, 2))
} finally {
  used()
  rmSync(folder, { recursive: true, force: true })
}
