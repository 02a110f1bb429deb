import { requestDevice } from '../../../src/engine/gpu'
import { type Case, largestMatmul, layerBytes, layerOperations, type MatmulSize } from '../shapes'
import { type Pace, queuedMilliseconds } from '../timing'
import { prepare, repeated } from './dispatches'
import { engineMatmuls } from './engine-matmuls'
import {
  type Grid,
  plainGrid,
  plainMatmul,
  rowGrid,
  rowMatmul,
  TILINGS,
  tiledGrid,
  tiledMatmul,
} from './matmul'

/** Bytes that the copy moves from and to: more than any cache holds. */
const COPY_BYTES = 256 * 1024 ** 2
const SOFTWARE_COPY_BYTES = 32 * 1024 ** 2
const CHAIN = 1_000

const CHAIN_KERNEL = `
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() { y[0] += 1u; }`

const COPY_KERNEL = `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < arrayLength(&x); i += groups.x * 256u) { y[i] = x[i]; }
}`

/** What a device does when it does one thing alone, measured in the same run as the engines. */
export class DeviceFloor {
  readonly #matmuls = new Map<string, number>()

  private constructor(
    private readonly device: GPUDevice,
    private readonly pace: Pace,
    private readonly software: boolean,
    /** Milliseconds from one dispatch to the next that needs its result. */
    readonly dispatchMilliseconds: number,
    /** Bytes read and written in a second. */
    readonly bytesPerSecond: number,
  ) {}

  static async measure(pace: Pace): Promise<DeviceFloor> {
    const device = await requestDevice()
    const software = device.adapterInfo.isFallbackAdapter || device.adapterInfo.architecture === 'swiftshader'
    const bytes = software ? SOFTWARE_COPY_BYTES : COPY_BYTES
    const storage = GPUBufferUsage.STORAGE
    const counter = device.createBuffer({ size: 4, usage: storage })
    const from = device.createBuffer({ size: bytes, usage: storage })
    const to = device.createBuffer({ size: bytes, usage: storage })
    const chain = await prepare(device, CHAIN_KERNEL, [counter], [1, 1, 1])
    const copy = await prepare(device, COPY_KERNEL, [from, to], [Math.min(8_192, bytes / 4_096), 1, 1])
    const { milliseconds: chained } = await queuedMilliseconds(repeated(device, chain, CHAIN), pace)
    const { milliseconds: copied } = await queuedMilliseconds(repeated(device, copy, 1), pace)
    for (const buffer of [counter, from, to]) {
      buffer.destroy()
    }
    return new DeviceFloor(device, pace, software, chained / CHAIN, (2 * bytes) / (copied / 1_000))
  }

  /** Operations a second of the best f32 matmul that is known here, at the case's largest matmul. */
  async operationsPerSecond(wanted: Case): Promise<number> {
    const size = largestMatmul(wanted)
    const key = JSON.stringify(size)
    let best = this.#matmuls.get(key)
    if (best === undefined) {
      best = await this.#bestMatmul(size)
      this.#matmuls.set(key, best)
    }
    return best
  }

  /**
   * Milliseconds of so many dispatches, each waiting for the one before, and of whichever takes longer, moving what a layer must move or
   * computing what it must as fast as the best matmul. A yardstick, no bound: f32 at full width is none for narrower weights, a copy
   * of memory none for what a cache holds, and small dispatches may overlap.
   */
  async milliseconds(wanted: Case, dispatches: number): Promise<number> {
    const speed = await this.operationsPerSecond(wanted)
    const moved = layerBytes(wanted) / this.bytesPerSecond
    const computed = layerOperations(wanted) / speed
    return dispatches * this.dispatchMilliseconds + 1_000 * Math.max(moved, computed)
  }

  close(): void {
    this.device.destroy()
  }

  async #bestMatmul({ m, k, n }: MatmulSize): Promise<number> {
    const { device } = this
    const buffer = (floats: number) =>
      device.createBuffer({ size: floats * 4, usage: GPUBufferUsage.STORAGE })
    const most = Math.max(...TILINGS.map(({ slices }) => slices))
    const buffers = [buffer(m * k), buffer(k * n), buffer(most * m * n)]
    const codes: (readonly [string, Grid])[] = [[plainMatmul(m, k, n), plainGrid(m, n)]]
    if (m === 1) {
      codes.push([rowMatmul(k, n), rowGrid(n)])
    }
    if (!this.software && m > 1) {
      codes.push(...TILINGS.map((tiling) => [tiledMatmul(m, k, n, tiling), tiledGrid(m, n, tiling)] as const))
    }
    const own = await engineMatmuls(device, { m, k, n })
    const candidates = [...own.matmuls]
    for (const [code, grid] of codes) {
      candidates.push(await prepare(device, code, buffers, grid))
    }
    let fastest = Number.POSITIVE_INFINITY
    for (const candidate of candidates) {
      const { milliseconds } = await queuedMilliseconds(repeated(device, candidate, 1), this.pace)
      fastest = Math.min(fastest, milliseconds)
    }
    for (const made of [...buffers, ...own.buffers]) {
      made.destroy()
    }
    return (2 * m * k * n) / (fastest / 1_000)
  }
}
