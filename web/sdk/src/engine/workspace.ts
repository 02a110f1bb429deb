import type { Manifest } from '../client/manifest'
import { allocate } from './gpu'
import { partialFloats } from './partials'

/** Most tokens of one run, unless a single sequence is longer. */
export const MOST_TOKENS = 2_048

/** Tokens for which the first workspace has room; it doubles from there. */
const FEWEST_TOKENS = 64

const BLOCK_BYTES = 32

/** Floats from one row to the next: a matmul reads rows up to 32 at a time, and what pads them stays zero. */
export function rowStride(columns: number): number {
  return Math.ceil(columns / 32) * 32
}

/** Tokens for which there is room once `tokens` are needed and at most `most` are ever wanted. */
export function workspaceTokens(tokens: number, most: number): number {
  let room = FEWEST_TOKENS
  while (room < tokens) {
    room *= 2
  }
  return Math.max(tokens, Math.min(room, most))
}

/**
 * Most tokens, up to `most`, whose workspace takes at most `bytes`.
 *
 * @param bufferLimit most bytes of one buffer
 */
export function tokensWithin(
  manifest: Manifest,
  bytes: number,
  bufferLimit: number,
  most = MOST_TOKENS,
): number {
  let [fitting, tooMany] = [0, most + 1]
  while (tooMany - fitting > 1) {
    const middle = Math.floor((fitting + tooMany) / 2)
    const largest = Math.max(...Object.values(bufferBytes(manifest, middle)))
    if (workspaceBytes(manifest, middle) <= bytes && largest <= bufferLimit) {
      fitting = middle
    } else {
      tooMany = middle
    }
  }
  return fitting
}

/** Bytes of a workspace for so many tokens, all buffers together. */
export function workspaceBytes(manifest: Manifest, tokens: number): number {
  return Object.values(bufferBytes(manifest, tokens)).reduce((sum, bytes) => sum + bytes, 0)
}

/** The buffers between a run's dispatches. Those of floats have rows of `rowStride` floats, but for `message`. */
export type Workspace = Readonly<Record<keyof ReturnType<typeof bufferBytes>, GPUBuffer>>

function bufferBytes({ hiddenSize: h, layer }: Manifest, tokens: number) {
  const rows = (columns: number) => tokens * rowStride(columns) * 4
  return {
    /** Activations as they came, without padding. */
    message: rows(h),
    /** Pairs: token id, position. */
    ids: tokens * 8,
    /** Queries that attend together, as `attention_params.wgsl` describes them. */
    blocks: tokens * BLOCK_BYTES,
    /** Pairs: first row, number of rows. */
    sequences: tokens * 8,
    /** The residual stream. */
    hidden: rows(h),
    /** The output of a LayerNorm. */
    normed: rows(h),
    qkv: rows(3 * h),
    attended: rows(h),
    /** The MLP's inner activations. */
    inner: rows(layer.mlp.innerSize),
    /** A matmul's sums, slice after slice of its inner dimension; or attention's, part after part of the keys. */
    partials: partialFloats(tokens, rowStride(Math.max(3 * h, layer.mlp.innerSize))) * 4,
    /** Rows of the output that are asked for. */
    chosen: tokens * 4,
  }
}

/** @throws SplitComputeError `out_of_memory`, `limit_exceeded`, `device_lost` */
export async function allocateWorkspace(
  device: GPUDevice,
  manifest: Manifest,
  tokens: number,
): Promise<Workspace> {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
  const sizes = Object.entries(bufferBytes(manifest, tokens))
  const buffers = await allocate(
    device,
    sizes.map(([label, size]) => ({ label, size, usage })),
  )
  return Object.fromEntries(sizes.map(([label], i) => [label, buffers[i]])) as Workspace
}
