import { type Kernel, UNIFORM_SLOT } from './pipelines'

const floats = new Float32Array(1)
const words = new Uint32Array(floats.buffer)

/** The bits of a float, for a place among a kernel's constants. */
export function f32Bits(value: number): number {
  floats[0] = value
  return words[0] ?? 0
}

export type Grid = readonly [x: number, y?: number, z?: number]

interface Dispatch {
  readonly kernel: Kernel
  readonly group: GPUBindGroup
  readonly grid: Grid
}

/** The dispatches of one run in order, each with constants in a uniform slot of its own, cut into slices to submit. */
export class Recording {
  readonly #dispatches: Dispatch[] = []
  readonly #constants: (readonly number[])[] = []
  readonly #sliceEnds: number[] = []
  #operations = 0
  #inSlice = 0

  /** @param mostInSlice operations of a slice, unless a single dispatch has more */
  constructor(private readonly mostInSlice: number) {}

  /** @param operations about how many the dispatch takes */
  add(
    kernel: Kernel,
    group: GPUBindGroup,
    constants: readonly number[],
    grid: Grid,
    operations: number,
  ): void {
    if (this.#inSlice > 0 && this.#inSlice + operations > this.mostInSlice) {
      this.#sliceEnds.push(this.#dispatches.length)
      this.#inSlice = 0
    }
    this.#inSlice += operations
    this.#operations += operations
    this.#dispatches.push({ kernel, group, grid })
    this.#constants.push(constants)
  }

  /** Of all dispatches together. */
  get operations(): number {
    return this.#operations
  }

  /** Writes the constants, and gives an encoder for each slice with its dispatches in one pass. */
  encode(device: GPUDevice, uniforms: GPUBuffer): GPUCommandEncoder[] {
    const slots = new Uint32Array((this.#dispatches.length * UNIFORM_SLOT) / 4)
    for (const [i, constants] of this.#constants.entries()) {
      slots.set(constants, (i * UNIFORM_SLOT) / 4)
    }
    device.queue.writeBuffer(uniforms, 0, slots)
    let begin = 0
    return [...this.#sliceEnds, this.#dispatches.length].map((end) => {
      const encoder = device.createCommandEncoder()
      const pass = encoder.beginComputePass()
      for (let i = begin; i < end; i++) {
        const { kernel, group, grid } = this.#dispatches[i] as Dispatch
        pass.setPipeline(kernel.pipeline)
        pass.setBindGroup(0, group, [i * UNIFORM_SLOT])
        pass.dispatchWorkgroups(...grid)
      }
      pass.end()
      begin = end
      return encoder
    })
  }
}
