import type { Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { allocate } from './gpu'
import { rowStride } from './workspace'

/** Most tokens that `top` gives for a row. */
export const MOST_TOP = 64

/** Scores that a workgroup of `top` sorts. */
export const SORTED = 512

/** Rows whose logits are computed at once, at most. */
const MOST_ROWS = 64
/** Bytes of logits at once, unless a single row has more. */
const LOGIT_BYTES = 16 * 1024 * 1024

/** The buffers of `lm_head`. */
export interface LogitsWorkspace {
  /** Rows that a round takes. */
  readonly rows: number
  readonly gathered: GPUBuffer
  readonly logits: GPUBuffer
  /** Of `top`'s steps in turn. */
  readonly candidates: readonly [GPUBuffer, GPUBuffer]
}

/** Floats from one row of logits to the next: every row begins where a binding may. */
export function logitStride({ vocabularySize }: Manifest): number {
  return Math.ceil(vocabularySize / 64) * 64
}

/** What `lm_head` needs beside its weights, allocated when it is first asked for. */
export class LogitsMemory {
  /** That a round takes. */
  readonly rows: number
  readonly #sizes: readonly number[]
  #buffers: readonly GPUBuffer[] = []
  #allocating: Promise<readonly GPUBuffer[]> | undefined
  #destroyed = false

  /** @param limit most bytes of one buffer */
  constructor(
    private readonly device: GPUDevice,
    manifest: Manifest,
    limit: number,
  ) {
    const rowBytes = logitStride(manifest) * 4
    const most = Math.min(limit, Math.max(LOGIT_BYTES, rowBytes))
    this.rows = Math.min(MOST_ROWS, Math.floor(most / rowBytes))
    const first = Math.ceil(manifest.vocabularySize / SORTED) * MOST_TOP
    const second = Math.ceil(first / SORTED) * MOST_TOP
    const sizes = [rowStride(manifest.hiddenSize) * 4, rowBytes, first * 8, second * 8]
    this.#sizes = sizes.map((size) => size * this.rows)
  }

  /** Bytes on the GPU once it is used. */
  get bytes(): number {
    return this.#sizes.reduce((sum, size) => sum + size, 0)
  }

  /** @throws SplitComputeError `out_of_memory`, `limit_exceeded`, `closed` */
  async take(): Promise<LogitsWorkspace> {
    if (this.rows === 0) {
      throw new SplitComputeError(
        'limit_exceeded',
        'The logits of one token are more than this GPU can bind.',
      )
    }
    this.#allocating ??= this.#allocate().catch((error: unknown) => {
      // A later call may find room.
      this.#allocating = undefined
      throw error
    })
    const buffers = await this.#allocating
    const [gathered, logits, first, second] = buffers as [GPUBuffer, GPUBuffer, GPUBuffer, GPUBuffer]
    return { rows: this.rows, gathered, logits, candidates: [first, second] }
  }

  destroy(): void {
    this.#destroyed = true
    for (const buffer of this.#buffers) {
      buffer.destroy()
    }
  }

  async #allocate(): Promise<readonly GPUBuffer[]> {
    const usage = GPUBufferUsage.STORAGE
    this.#buffers = await allocate(
      this.device,
      this.#sizes.map((size) => ({ label: 'logits', size, usage })),
    )
    if (this.#destroyed) {
      this.destroy()
      throw new SplitComputeError('closed', 'The engine was destroyed.')
    }
    return this.#buffers
  }
}
