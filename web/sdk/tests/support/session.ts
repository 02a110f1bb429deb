import { afterEach } from 'vitest'
import { type ConnectOptions, SplitCompute } from '../../src/index'
import { FakeCloud } from './fake-cloud'
import { readManifest } from './store'

/** A model of three layers whose shards have one part each. */
export const SMALL = 'gpt2-plain'

const clouds: FakeCloud[] = []
const splits: SplitCompute[] = []

/** Stops every cloud and closes every client of a test once it is over. */
export function cleanUpAfterEach(): void {
  afterEach(async () => {
    await Promise.all(splits.splice(0).map((split) => split.close()))
    await Promise.all(clouds.splice(0).map((cloud) => cloud.stop()))
  })
}

export async function startCloud(model = SMALL): Promise<FakeCloud> {
  const cloud = await FakeCloud.start(model)
  clouds.push(cloud)
  return cloud
}

export async function connect(
  cloud: FakeCloud,
  options: Partial<ConnectOptions> = {},
  open?: Parameters<typeof SplitCompute.connect>[1],
): Promise<SplitCompute> {
  const split = await SplitCompute.connect(
    { endpoint: cloud.url, model: SMALL, dtype: 'f32', ...options },
    open,
  )
  splits.push(split)
  return split
}

/** The path at which the fake cloud has a unit's shard. */
export function shardPath(unit: string, dtype: 'f32' | 'f16' = 'f32'): string {
  const shard = readManifest(SMALL).units.get(unit)?.get(dtype)
  return `/s3/shards/${shard?.sha256}`
}

export function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) =>
    x.reduce((sum, value, i) => sum + value * (y[i] ?? Number.NaN), 0)
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}
