import { type Kernel, UNIFORM_SLOT } from './pipelines'

const floats = new Float32Array(1)
const words = new Uint32Array(floats.buffer)

/** The bits of a float, for a place among a kernel's constants. */
export function f32Bits(value: number): number {
  floats[0] = value
  return words[0] ?? 0
}

interface Dispatch {
  readonly kernel: Kernel
  readonly group: GPUBindGroup
  readonly groups: readonly [number, number]
}

/** The dispatches of one run in order, each with constants in a uniform slot of its own. */
export class Recording {
  readonly #dispatches: Dispatch[] = []
  readonly #constants: number[][] = []

  add(kernel: Kernel, group: GPUBindGroup, constants: number[], groups: readonly [number, number]): void {
    this.#dispatches.push({ kernel, group, groups })
    this.#constants.push(constants)
  }

  /** Bytes of uniforms that `encode` writes. */
  get uniformBytes(): number {
    return this.#dispatches.length * UNIFORM_SLOT
  }

  encode(device: GPUDevice, uniforms: GPUBuffer, encoder: GPUCommandEncoder): void {
    const slots = new Uint32Array(this.uniformBytes / 4)
    for (const [i, constants] of this.#constants.entries()) {
      slots.set(constants, (i * UNIFORM_SLOT) / 4)
    }
    device.queue.writeBuffer(uniforms, 0, slots)
    const pass = encoder.beginComputePass()
    for (const [i, { kernel, group, groups }] of this.#dispatches.entries()) {
      pass.setPipeline(kernel.pipeline)
      pass.setBindGroup(0, group, [i * UNIFORM_SLOT])
      pass.dispatchWorkgroups(groups[0], groups[1])
    }
    pass.end()
  }
}
