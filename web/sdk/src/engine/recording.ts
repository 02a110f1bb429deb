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

  add(kernel: Kernel, group: GPUBindGroup, constants: readonly number[], grid: Grid): void {
    this.#dispatches.push({ kernel, group, grid })
    this.#constants.push(constants)
  }

  /** What is added from here on is submitted on its own. */
  endSlice(): void {
    this.#sliceEnds.push(this.#dispatches.length)
  }

  get dispatches(): number {
    return this.#dispatches.length
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
