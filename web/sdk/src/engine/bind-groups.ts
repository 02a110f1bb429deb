import { type Kernel, UNIFORM_SLOT } from './pipelines'

type Resource = GPUBuffer | GPUBufferBinding

/** The bind groups of a program, made once: a layer's are the same in every run. */
export class BindGroups {
  readonly #groups = new Map<string, GPUBindGroup>()

  constructor(private readonly device: GPUDevice) {}

  /**
   * @param key what is bound, one a kernel
   * @param resources in the order of the kernel's bindings
   */
  get(key: string, kernel: Kernel, uniforms: GPUBuffer, resources: () => readonly Resource[]): GPUBindGroup {
    const whole = `${key} ${kernel.name}`
    let group = this.#groups.get(whole)
    if (group === undefined) {
      group = this.create(kernel, uniforms, resources())
      this.#groups.set(whole, group)
    }
    return group
  }

  /** One that is used once. */
  create({ layout }: Kernel, uniforms: GPUBuffer, resources: readonly Resource[]): GPUBindGroup {
    const constants = { buffer: uniforms, size: UNIFORM_SLOT }
    const bindings = resources.map((resource) => ('buffer' in resource ? resource : { buffer: resource }))
    const entries = [constants, ...bindings].map((resource, binding) => ({ binding, resource }))
    return this.device.createBindGroup({ layout, entries })
  }

  /** Forgets what begins with `key`: its buffers are no more. */
  forget(key: string): void {
    for (const kept of this.#groups.keys()) {
      if (kept.startsWith(key)) {
        this.#groups.delete(kept)
      }
    }
  }

  /** Forgets all: a buffer among them was replaced. */
  clear(): void {
    this.#groups.clear()
  }
}
