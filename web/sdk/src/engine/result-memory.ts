import { allocate } from './gpu'

/** Buffers up to this size are kept for the next run. */
const KEPT_BYTES = 4 * 1024 * 1024

export interface ResultBuffers {
  readonly results: GPUBuffer
  readonly readback: GPUBuffer
}

/** The buffers that results are written to and read back from. */
export class ResultMemory {
  #kept: ResultBuffers | undefined
  #destroyed = false

  constructor(private readonly device: GPUDevice) {}

  /**
   * Buffers for results of so many bytes: those of the last run where they fit, for to allocate takes a turn of the GPU's process.
   *
   * @throws SplitComputeError `out_of_memory`
   */
  async take(size: number): Promise<ResultBuffers> {
    const kept = this.#kept
    if (kept !== undefined && kept.readback.size >= size) {
      this.#kept = undefined
      return kept
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const buffers = await allocate(this.device, [
      { label: 'results', size, usage },
      { label: 'readback', size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST },
    ])
    const [results, readback] = buffers as [GPUBuffer, GPUBuffer]
    return { results, readback }
  }

  /** Takes back what was read. */
  give(buffers: ResultBuffers): void {
    const { results, readback } = buffers
    const keep = !this.#destroyed && readback.mapState === 'unmapped' && readback.size <= KEPT_BYTES
    if (keep && readback.size > (this.#kept?.readback.size ?? 0)) {
      this.#destroyKept()
      this.#kept = buffers
    } else {
      results.destroy()
      readback.destroy()
    }
  }

  destroy(): void {
    this.#destroyed = true
    this.#destroyKept()
  }

  #destroyKept(): void {
    this.#kept?.results.destroy()
    this.#kept?.readback.destroy()
    this.#kept = undefined
  }
}
