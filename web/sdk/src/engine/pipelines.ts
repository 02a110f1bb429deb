import type { Activation } from '../client/manifest'
import attention from './kernels/attention.wgsl'
import embedding from './kernels/embedding.wgsl'
import layerNorm from './kernels/layer_norm.wgsl'
import matmul from './kernels/matmul.wgsl'
import pool from './kernels/pool.wgsl'
import unpack from './kernels/unpack.wgsl'

/** Bytes of one dispatch's constants; the alignment that WebGPU guarantees for dynamic offsets. */
export const UNIFORM_SLOT = 256

const ACTIVATIONS: Readonly<Record<Activation | 'none', number>> = {
  none: 0,
  gelu_tanh: 1,
  gelu_erf: 2,
  relu: 3,
}

/** One kernel, specialised, with the layout that its bind groups follow. */
export interface Kernel {
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
}

export interface MatmulVariant {
  readonly f16: boolean
  readonly unaligned: boolean
  readonly activation: Activation | 'none'
  readonly accumulate: boolean
}

/** The kernels of one device, each compiled once and without blocking the page. */
export class Pipelines {
  readonly #kernels = new Map<string, Promise<Kernel>>()
  readonly #layouts = new Map<number, GPUBindGroupLayout>()
  readonly #modules = new Map<string, GPUShaderModule>()

  constructor(readonly device: GPUDevice) {}

  matmul({ f16, unaligned, activation, accumulate }: MatmulVariant): Promise<Kernel> {
    return this.#kernel('matmul', matmul, 3, {
      F16: Number(f16),
      UNALIGNED: Number(unaligned),
      ACTIVATION: ACTIVATIONS[activation],
      ACCUMULATE: Number(accumulate),
    })
  }

  layerNorm(): Promise<Kernel> {
    return this.#kernel('layer_norm', layerNorm, 3, {})
  }

  attention(): Promise<Kernel> {
    return this.#kernel('attention', attention, 2, {})
  }

  embedding(f16: boolean): Promise<Kernel> {
    return this.#kernel('embedding', embedding, 3, { F16: Number(f16) })
  }

  unpack(f16: boolean): Promise<Kernel> {
    return this.#kernel('unpack', unpack, 1, { F16: Number(f16) })
  }

  pool(): Promise<Kernel> {
    return this.#kernel('pool', pool, 2, {})
  }

  #kernel(
    name: string,
    code: string,
    inputs: number,
    constants: Readonly<Record<string, number>>,
  ): Promise<Kernel> {
    const key = `${name} ${Object.values(constants).join(' ')}`
    let kernel = this.#kernels.get(key)
    if (kernel === undefined) {
      kernel = this.#compile(name, code, inputs, constants)
      // Whoever runs it sees the failure; one that nobody awaits yet must not be reported as unhandled.
      kernel.catch(() => undefined)
      this.#kernels.set(key, kernel)
    }
    return kernel
  }

  async #compile(
    name: string,
    code: string,
    inputs: number,
    constants: Readonly<Record<string, number>>,
  ): Promise<Kernel> {
    let module = this.#modules.get(name)
    if (module === undefined) {
      module = this.device.createShaderModule({ label: name, code })
      this.#modules.set(name, module)
    }
    const layout = this.#layout(inputs)
    const pipeline = await this.device.createComputePipelineAsync({
      label: name,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main', constants },
    })
    return { pipeline, layout }
  }

  /** Every kernel binds its constants, then what it reads, then what it writes. */
  #layout(inputs: number): GPUBindGroupLayout {
    let layout = this.#layouts.get(inputs)
    if (layout === undefined) {
      const entries: GPUBindGroupLayoutEntry[] = [
        {
          binding: 0,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: 'uniform', hasDynamicOffset: true },
        },
      ]
      for (let binding = 1; binding <= inputs + 1; binding++) {
        const type = binding <= inputs ? 'read-only-storage' : 'storage'
        entries.push({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })
      }
      layout = this.device.createBindGroupLayout({ entries })
      this.#layouts.set(inputs, layout)
    }
    return layout
  }
}
