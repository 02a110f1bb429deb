import { allocate } from './gpu'

/** Buffers up to this size outlast the runs. */
const KEPT_BYTES = 4 * 1024 * 1024

export interface ResultBuffers {
  readonly results: GPUBuffer
  readonly readback: GPUBuffer
}

/** The buffers that results are written to and read back from. */
export class ResultMemory {
  #free: ResultBuffers[] = []
  #taken = 0
  #destroyed = false

  constructor(private readonly device: GPUDevice) {}

  /**
   * Buffers for results of so many bytes: those of an earlier run where they fit, for to allocate takes a turn of the GPU's process.
   *
   * @throws SplitComputeError `out_of_memory`
   */
  async take(size: number): Promise<ResultBuffers> {
    const fitting = this.#free.findIndex(({ readback }) => readback.size >= size)
    const [free] = fitting < 0 ? [] : this.#free.splice(fitting, 1)
    const buffers = free ?? (await this.#allocate(size))
    this.#taken++
    return buffers
  }

  /** Takes back what was read: kept for whoever comes while others wait for their results; the largest pair outlasts them. */
  give(buffers: ResultBuffers): void {
    this.#taken--
    if (!this.#destroyed && buffers.readback.mapState === 'unmapped') {
      this.#free.push(buffers)
    } else {
      destroyBuffers(buffers)
    }
    if (this.#taken === 0) {
      const [largest] = this.#free
        .filter(({ readback }) => readback.size <= KEPT_BYTES)
        .sort((a, b) => b.readback.size - a.readback.size)
      this.#keep(largest)
    }
  }

  destroy(): void {
    this.#destroyed = true
    this.#keep(undefined)
  }

  #keep(kept: ResultBuffers | undefined): void {
    for (const buffers of this.#free) {
      if (buffers !== kept) {
        destroyBuffers(buffers)
      }
    }
    this.#free = kept === undefined ? [] : [kept]
  }

  async #allocate(size: number): Promise<ResultBuffers> {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const buffers = await allocate(this.device, [
      { label: 'results', size, usage },
      { label: 'readback', size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST },
    ])
    const [results, readback] = buffers as [GPUBuffer, GPUBuffer]
    return { results, readback }
  }
}

function destroyBuffers({ results, readback }: ResultBuffers): void {
  results.destroy()
  readback.destroy()
}
