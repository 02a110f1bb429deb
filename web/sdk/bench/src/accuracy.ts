import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Tokenizer } from '@huggingface/tokenizers'
import { type Dtype, type Manifest, parseManifest } from '../../src/client/manifest'
import { requestDevice } from '../../src/engine/gpu'
import { TailEngine } from '../../src/engine/tail-engine'
import { readSafetensorsHeader } from '../../src/shards/safetensors'
import { readUnitHeader } from '../../src/shards/unit-layout'
import { describeAdapter } from './measure'
import { installWebGpu } from './node-webgpu'
import { UsageError } from './options'
import { cosine, hits } from './retrieval'
import { DTYPES } from './shapes'

const HELP = `Compares embeddings of bookworm, all layers on this machine's WebGPU, with those of transformers in f32.

usage: npm run bench:accuracy -- [options]

  --adapter NAME   default, or swiftshader
  --store FOLDER   a folder in the store's layout with bookworm in f32, f16, q8 and q4 (default: sharded anew by the sharder's jar)
  --passages N     only the first N pairs of passages, of 144
  --out FILE       the report as JSON
  --help
`

/** Tokens of one run: a GPU in software takes seconds for more. */
const RUN_TOKENS = 512

interface Result {
  readonly dtype: Dtype
  /** Of all passages, to the f32 embedding by transformers. */
  readonly meanCosine: number
  readonly leastCosine: number
  /** The part of passages whose continuation is among the ten nearest. */
  readonly hitAt10: number
}

async function main(): Promise<void> {
  const { values } = parse()
  if (values.help) {
    process.stdout.write(HELP)
    return
  }
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../../..')
  const store = values.store ?? shard(root)
  const pairs = readPairs(root).slice(0, Number(values.passages ?? '144'))
  if (pairs.length === 0) {
    throw new UsageError('--passages must be a whole number from 1 on.')
  }
  const oracle = { text: readOracle(root, 'text'), next: readOracle(root, 'next') }
  const manifest = parseManifest(readBytes(join(store, 'models/bookworm/manifest.json')))
  const tokenizer = new Tokenizer(JSON.parse(readFileSync(join(root, MODEL, 'tokenizer.json'), 'utf8')), {})
  await installWebGpu()
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) {
    throw new Error('There is no WebGPU adapter here.')
  }
  const tokens = (part: 'text' | 'next') => pairs.map((pair) => tokenizer.encode(pair[part]).ids)
  const results: Result[] = []
  for (const dtype of DTYPES) {
    const engine = await loadEngine(store, manifest, dtype)
    const text = await embed(engine, tokens('text'))
    const next = await embed(engine, tokens('next'))
    engine.destroy()
    const to = (expected: readonly Float32Array[]) => (vector: Float32Array, i: number) =>
      cosine(vector, expected[i] ?? [])
    const cosines = [...text.map(to(oracle.text)), ...next.map(to(oracle.next))]
    const result = {
      dtype,
      meanCosine: cosines.reduce((sum, cosine) => sum + cosine, 0) / cosines.length,
      leastCosine: Math.min(...cosines),
      hitAt10: hits(new Map(text.entries()), next) / text.length,
    }
    results.push(result)
    const numbers = [result.meanCosine, result.leastCosine, result.hitAt10].map((value) => value.toFixed(5))
    console.log(`${dtype}  cosine mean ${numbers[0]}, least ${numbers[1]}; hit@10 ${numbers[2]}`)
  }
  const report = { adapter: describeAdapter(adapter), passages: 2 * pairs.length, results }
  if (values.out !== undefined) {
    mkdirSync(dirname(resolve(values.out)), { recursive: true })
    writeFileSync(values.out, `${JSON.stringify(report, undefined, 1)}\n`)
  }
}

const MODEL = 'functions/local/src/main/resources/models/bookworm'

function parse() {
  try {
    return parseArgs({
      options: {
        adapter: { type: 'string' },
        store: { type: 'string' },
        passages: { type: 'string' },
        out: { type: 'string' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** Shards bookworm in every dtype with the real sharder. */
function shard(root: string): string {
  const jar = process.env.SPLITCOMPUTE_WEIGHTS_JAR ?? join(root, 'weights/target/splitcompute-weights.jar')
  if (!existsSync(jar)) {
    throw new UsageError(
      'There are no shards: build the sharder first (./mvnw -DskipTests -pl weights package).',
    )
  }
  const store = join(root, 'web/target/bench-store')
  const model = join(root, MODEL)
  const args = ['-jar', jar, 'shard', model, '--out', store, '--dtype', DTYPES.join()]
  const { status, stderr } = spawnSync('java', args, { encoding: 'utf8' })
  if (status !== 0) {
    throw new Error(`The sharder failed: ${stderr}`)
  }
  return store
}

function readPairs(root: string): { text: string; next: string }[] {
  const lines = readFileSync(join(root, 'fixtures/bookworm/passages.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as { text: string; next: string })
}

/** Rows of the fixture's f32 embeddings. */
function readOracle(root: string, name: string): Float32Array[] {
  const bytes = readBytes(join(root, 'fixtures/bookworm/passages.safetensors'))
  const { tensors, dataOffset } = readSafetensorsHeader(
    bytes,
    bytes.byteLength,
    'invalid_shard',
    'The fixture',
  )
  const tensor = tensors.find((candidate) => candidate.name === name)
  const [rows = 0, columns = 0] = tensor?.shape ?? []
  const begin = dataOffset + (tensor?.offset ?? 0)
  const values = new Float32Array(bytes.slice(begin, begin + rows * columns * 4).buffer)
  return Array.from({ length: rows }, (_, i) => values.subarray(i * columns, (i + 1) * columns))
}

function readBytes(file: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(file))
}

async function loadEngine(store: string, manifest: Manifest, dtype: Dtype): Promise<TailEngine> {
  const engine = new TailEngine(await requestDevice(), manifest, dtype, RUN_TOKENS)
  const layers = Array.from({ length: manifest.layers }, (_, k) => `layer.${k}`)
  for (const unit of ['embeddings', ...layers, 'final']) {
    const shardOf = manifest.units.get(unit)?.get(dtype)
    if (shardOf === undefined) {
      throw new UsageError(`The store has no ${unit} in ${dtype}.`)
    }
    const bytes = readBytes(join(store, 'shards', `${shardOf.sha256}.safetensors`))
    const header = readUnitHeader(bytes, bytes.byteLength, manifest, unit, dtype)
    const buffers = await engine.allocate(unit, header.tensors, header.dataBytes)
    buffers.write(0, bytes.subarray(header.dataOffset))
    engine.attach(unit, buffers)
    await engine.check(unit, new AbortController().signal)
  }
  return engine
}

/** Normalised means over each sequence's tokens. */
async function embed(engine: TailEngine, sequences: readonly number[][]): Promise<Float32Array[]> {
  return engine.run(
    {
      cut: 0,
      tokens: Int32Array.from(sequences.flat()),
      lengths: Int32Array.from(sequences, ({ length }) => length),
      pooling: 'mean',
      normalize: true,
    },
    new AbortController().signal,
  )
}

try {
  await main()
  // Dawn's threads keep the process alive.
  process.exit(0)
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message} (--help tells more)` : error)
  process.exit(error instanceof UsageError ? 2 : 1)
}
