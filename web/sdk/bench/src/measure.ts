import type { Dtype } from '../../src/client/manifest'
import { countDispatches } from './dispatch-count'
import type { Engine, LoadedModel, Passes } from './engines/engine'
import { DeviceFloor } from './floor/floor'
import type { Case, LayerShape } from './shapes'
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

export interface Report {
  readonly machine: string
  readonly adapter: string
  readonly measured: Measured
  readonly rows: readonly Row[]
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
export type OnRow = (row: Row | MissingRow, report: Report) => void

/** Measures every case with every engine: the floor first, then one engine after the other, each alone on the GPU. */
export async function measure({ machine, engines, cases, pace }: Plan, onRow: OnRow): Promise<Report> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) {
    throw new Error('There is no WebGPU adapter here.')
  }
  const floor = await DeviceFloor.measure(pace)
  const matmuls: Record<string, number> = {}
  const rows: Row[] = []
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
    missing,
  })
  for (const wanted of cases) {
    const { shape, tokens } = wanted
    matmuls[`${shape.name} ${tokens}`] = rounded(await floor.operationsPerSecond(wanted))
  }
  for (const { shape, dtype, tokens } of groups(cases)) {
    const able = engines.filter(({ dtypes, works }) => dtypes.includes(dtype) && works.includes(shape.work))
    for (const engine of able) {
      let model: LoadedModel | undefined
      for (const count of tokens) {
        const head = { engine: engine.name, shape: shape.name, dtype, tokens: count }
        try {
          const reason = engine.lacks(shape, dtype, adapter)
          if (reason !== undefined) {
            throw new Error(reason)
          }
          model ??= await engine.load(shape, dtype)
          const times = await measurePasses(await model.enter(count), pace)
          const floorMs = await floor.milliseconds({ shape, dtype, tokens: count }, times.dispatchesPerLayer)
          const row = {
            ...head,
            msPerLayer: rounded(times.msPerLayer),
            msAlone: rounded(times.msAlone),
            ofFloor: rounded(floorMs / times.msPerLayer),
            floorMs: rounded(floorMs),
            dispatchesPerLayer: rounded(times.dispatchesPerLayer),
          }
          rows.push(row)
          onRow(row, report())
        } catch (error) {
          const row = { ...head, reason: error instanceof Error ? error.message : String(error) }
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
function groups(cases: readonly Case[]) {
  const found = new Map<string, { shape: LayerShape; dtype: Dtype; tokens: number[] }>()
  for (const { shape, dtype, tokens } of cases) {
    const key = `${shape.name} ${dtype}`
    const group = found.get(key) ?? { shape, dtype, tokens: [] }
    group.tokens.push(tokens)
    found.set(key, group)
  }
  return found.values()
}

async function measurePasses(passes: Passes, pace: Pace) {
  const failures = new Failures(passes.device)
  try {
    const dispatches = await warmUp(passes)
    const { milliseconds: queued, calls } = await queuedMilliseconds((some) => passes.queue(some), pace)
    // On a slow device a measurement is of one call alone.
    const same = calls === 1 && passes.queuedLayers === passes.aloneLayers
    const alone = same ? queued : await medianMilliseconds(() => passes.alone(), pace.repeats)
    failures.check()
    return {
      msPerLayer: queued / passes.queuedLayers,
      msAlone: alone / passes.aloneLayers,
      dispatchesPerLayer: dispatches / passes.queuedLayers,
    }
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
