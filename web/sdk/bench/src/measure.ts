import { countDispatches } from './dispatch-count'
import type { Engine, LoadedModel, Passes } from './engines/engine'
import { DeviceFloor } from './floor/floor'
import type { Case } from './shapes'
import { medianMilliseconds, type Pace, queuedMilliseconds } from './timing'

/** One measured row. */
export interface Row {
  readonly engine: string
  readonly shape: string
  readonly dtype: string
  readonly tokens: number
  /** Milliseconds a layer, or of an output matrix; calls queued and waited for once. */
  readonly msPerLayer: number
  /** Milliseconds a layer of one call of four layers, awaited. */
  readonly msAlone: number
  /** The floor as a fraction of `msPerLayer`. */
  readonly ofFloor: number
  /** What the floor consists of. */
  readonly floorMs: number
  readonly dispatchesPerLayer: number
}

/** One measured row of a whole model, from token ids to a vector a text. */
export interface ModelRow {
  readonly engine: string
  readonly shape: string
  readonly dtype: string
  /** Of each text. */
  readonly tokens: number
  /** That one call embeds. */
  readonly texts: number
  /** Milliseconds a text, calls queued and waited for once. */
  readonly msPerText: number
  /** Milliseconds a text of one call, awaited. */
  readonly msAlone: number
  /** Of a call. */
  readonly dispatches: number
}

export interface Report {
  readonly machine: string
  readonly adapter: string
  readonly measured: Measured
  readonly rows: readonly Row[]
  readonly models: readonly ModelRow[]
  /** Rows that an engine has not, and why. */
  readonly missing: readonly MissingRow[]
}

/** The device's own speeds, from which the floor is computed. */
export interface Measured {
  readonly date: string
  readonly dispatchMs: number
  readonly copyBytesPerSecond: number
  /** By shape and tokens. */
  readonly matmulOperationsPerSecond: Readonly<Record<string, number>>
}

export interface MissingRow {
  readonly engine: string
  readonly shape: string
  readonly dtype: string
  readonly tokens: number
  /** Absent for layers alone. */
  readonly texts?: number
  readonly reason: string
}

export interface Plan {
  readonly machine: string
  readonly engines: readonly Engine[]
  readonly cases: readonly Case[]
  readonly pace: Pace
}

const WARM_UP_MILLISECONDS = 400

/** Tells of a row as soon as it is there, with the report so far. */
export type OnRow = (row: Row | ModelRow | MissingRow, report: Report) => void

/** Measures every case with every engine: the floor first, then one engine after the other, each alone on the GPU. */
export async function measure({ machine, engines, cases, pace }: Plan, onRow: OnRow): Promise<Report> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) {
    throw new Error('There is no WebGPU adapter here.')
  }
  const floor = await DeviceFloor.measure(pace)
  const matmuls: Record<string, number> = {}
  const rows: Row[] = []
  const models: ModelRow[] = []
  const missing: MissingRow[] = []
  const report = (): Report => ({
    machine,
    adapter: describeAdapter(adapter),
    measured: {
      date: new Date().toISOString(),
      dispatchMs: rounded(floor.dispatchMilliseconds),
      copyBytesPerSecond: rounded(floor.bytesPerSecond),
      matmulOperationsPerSecond: { ...matmuls },
    },
    rows,
    models,
    missing,
  })
  for (const wanted of cases.filter(({ texts }) => texts === undefined)) {
    matmuls[`${wanted.shape.name} ${wanted.tokens}`] = rounded(await floor.operationsPerSecond(wanted))
  }
  for (const [first, ...others] of groups(cases)) {
    const { shape, dtype } = first
    const able = engines.filter(({ dtypes, works }) => dtypes.includes(dtype) && works.includes(shape.work))
    for (const engine of able) {
      let model: LoadedModel | undefined
      for (const wanted of [first, ...others]) {
        const { tokens, texts } = wanted
        const head = { engine: engine.name, shape: shape.name, dtype, tokens }
        try {
          const reason = engine.lacks(shape, dtype, adapter)
          if (reason !== undefined) {
            throw new Error(reason)
          }
          model ??= await load(engine, wanted)
          const times = await measurePasses(await model.enter(tokens, texts ?? 1), pace)
          if (texts === undefined) {
            const row = { ...head, ...(await layerFigures(wanted, times, floor)) }
            rows.push(row)
            onRow(row, report())
          } else {
            const row = { ...head, texts, ...textFigures(times, texts) }
            models.push(row)
            onRow(row, report())
          }
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error)
          const row = { ...head, ...(texts === undefined ? {} : { texts }), reason }
          missing.push(row)
          onRow(row, report())
        }
      }
      await model?.close()
    }
  }
  floor.close()
  return report()
}

/** Cases that share their weights. */
function groups(cases: readonly Case[]): Iterable<[Case, ...Case[]]> {
  const found = new Map<string, [Case, ...Case[]]>()
  for (const wanted of cases) {
    const { shape, dtype, texts } = wanted
    const key = `${shape.name} ${dtype} ${texts === undefined}`
    const group = found.get(key)
    if (group === undefined) {
      found.set(key, [wanted])
    } else {
      group.push(wanted)
    }
  }
  return found.values()
}

async function load(engine: Engine, { shape, dtype, texts }: Case): Promise<LoadedModel> {
  if (texts === undefined) {
    return await engine.load(shape, dtype)
  }
  if (engine.loadModel === undefined) {
    throw new Error('it is measured by the layer alone')
  }
  return await engine.loadModel(shape, dtype)
}

async function layerFigures(wanted: Case, times: Times, floor: DeviceFloor) {
  const msPerLayer = times.queuedMs / times.queuedLayers
  const dispatchesPerLayer = times.dispatches / times.queuedLayers
  const floorMs = await floor.milliseconds(wanted, dispatchesPerLayer)
  return {
    msPerLayer: rounded(msPerLayer),
    msAlone: rounded(times.aloneMs / times.aloneLayers),
    ofFloor: rounded(floorMs / msPerLayer),
    floorMs: rounded(floorMs),
    dispatchesPerLayer: rounded(dispatchesPerLayer),
  }
}

function textFigures({ queuedMs, aloneMs, dispatches }: Times, texts: number) {
  return { msPerText: rounded(queuedMs / texts), msAlone: rounded(aloneMs / texts), dispatches }
}

/** Of one call. */
interface Times extends Pick<Passes, 'queuedLayers' | 'aloneLayers'> {
  readonly queuedMs: number
  readonly aloneMs: number
  readonly dispatches: number
}

async function measurePasses(passes: Passes, pace: Pace): Promise<Times> {
  const failures = new Failures(passes.device)
  try {
    const dispatches = await warmUp(passes)
    const { milliseconds: queuedMs, calls } = await queuedMilliseconds((some) => passes.queue(some), pace)
    // On a slow device a measurement is of one call alone.
    const { queuedLayers, aloneLayers } = passes
    const same = calls === 1 && queuedLayers === aloneLayers
    const aloneMs = same ? queuedMs : await medianMilliseconds(() => passes.alone(), pace.repeats)
    failures.check()
    return { queuedMs, aloneMs, dispatches, queuedLayers, aloneLayers }
  } finally {
    failures.end()
    await passes.leave()
  }
}

/**
 * Kernels are compiled, and graphs captured, within the first calls; the code that records them, JavaScript or WebAssembly, is compiled
 * in full only after many.
 *
 * @returns dispatches of a queued call
 */
async function warmUp(passes: Passes): Promise<number> {
  const end = performance.now() + WARM_UP_MILLISECONDS
  await passes.alone()
  const dispatches = await countDispatches(() => passes.queue(1))
  while (performance.now() < end) {
    await passes.queue(4)
  }
  return dispatches
}

/** A dispatch that fails validation is fast and computes nothing: no such row may stand. */
class Failures {
  #first: string | undefined
  readonly #listen = (event: GPUUncapturedErrorEvent) => {
    this.#first ??= event.error.message
  }

  constructor(private readonly device: GPUDevice) {
    device.addEventListener('uncapturederror', this.#listen)
  }

  check(): void {
    if (this.#first !== undefined) {
      throw new Error(this.#first)
    }
  }

  end(): void {
    this.device.removeEventListener('uncapturederror', this.#listen)
  }
}

export function describeAdapter({ info, features }: GPUAdapter): string {
  const names = [info.vendor, info.architecture, info.device, info.description].filter(Boolean)
  const found = ['subgroups', 'shader-f16'].filter((name) => features.has(name))
  return `${names.join(' ')} (${['WebGPU', ...found].join(', ')})`
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
