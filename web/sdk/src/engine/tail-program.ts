import type { Activation, Dtype, Manifest, Pooling } from '../client/manifest'
import { shardDtype } from '../shards/unit-layout'
import { BindGroups } from './bind-groups'
import { type Epilogue, type Kernel, type Pipelines, UNIFORM_SLOT } from './pipelines'
import { RunEncoding, type RunKernels, type RunSpan, type RunTarget } from './run-encoding'
import {
  chooseAttention,
  chooseMatmul,
  type DeviceTraits,
  describeAttention,
  describeMatmul,
  deviceTraits,
  type ForcedVariants,
  MATMULS,
  type MatmulVariant,
} from './variants'
import { rowStride } from './workspace'

/** Dispatches of a layer at most, and those around the layers when the tables are whole. */
const LAYER_DISPATCHES = 9
const OTHER_DISPATCHES = 64

/** Rows that `describe` tells the matmul of. */
const DESCRIBED_ROWS = [1, 16, 64, 256]

/** What the manifest's description of a model comes to as dispatches. */
export class TailProgram {
  readonly groups: BindGroups
  readonly #traits: DeviceTraits

  constructor(
    readonly pipelines: Pipelines,
    readonly manifest: Manifest,
    readonly dtype: Dtype,
    private readonly forced: ForcedVariants,
  ) {
    this.groups = new BindGroups(pipelines.device)
    this.#traits = deviceTraits(pipelines.device)
  }

  /** Uniform slots that the largest run takes. */
  get mostDispatches(): number {
    return this.manifest.layers * LAYER_DISPATCHES + OTHER_DISPATCHES
  }

  /** Floats from one result to the next. */
  resultStride(pooling: Pooling | 'none'): number {
    return pooling === 'none' ? rowStride(this.manifest.hiddenSize) : this.manifest.hiddenSize
  }

  /** The variant that each kernel takes on this device. */
  describe(): Record<string, string> {
    const { headSize } = this.manifest.layer.attention
    const described: Record<string, string> = {}
    for (const rows of DESCRIBED_ROWS) {
      described[`matmul of ${rows} rows`] = describeMatmul(chooseMatmul(rows, this.#traits, this.forced))
      described[`attention of ${rows} tokens`] = describeAttention(
        chooseAttention(rows, headSize, this.#traits, this.forced),
      )
    }
    return described
  }

  /** Compiles the kernels of runs of so many rows, of sequences of at most `longest` tokens. */
  async kernels(rows: number, longest: number): Promise<RunKernels> {
    const { pipelines, dtype } = this
    const { hiddenSize, layer, embeddings } = this.manifest
    const { attention, mlp, norm } = layer
    const variant = chooseMatmul(rows, this.#traits, this.forced)
    const matmul: MatmulVariant = MATMULS[variant]
    const attentionVariant = chooseAttention(longest, attention.headSize, this.#traits, this.forced)
    const linears = new Map<string, Kernel>()
    const sums = new Map<string, Kernel>()
    const linear = async (columns: number, epilogue: Epilogue | undefined, normed = false) => {
      const unaligned = dtype === 'f32' && columns % 4 !== 0
      const kernel = await pipelines.matmul({ variant, dtype, unaligned, epilogue, normed })
      linears.set(`${columns} ${epilogue}`, kernel)
    }
    const sum = async (epilogue: Activation | 'none') => {
      sums.set(epilogue, await pipelines.sum(epilogue))
    }
    const fused = rows === 1 && matmul.kind === 'row' && norm.order === 'pre'
    const whole =
      matmul.kind === 'tile'
        ? [sum('none'), sum(mlp.activation)]
        : [linear(hiddenSize, 'none', fused), linear(hiddenSize, mlp.activation, fused)]
    const added = fused ? 'residual' : undefined
    const threads = this.#traits.software ? 16 : 256
    const f16 = shardDtype('embeddings', dtype) === 'f16'
    const [attentionKernel, residualNorm, embedding, unpackF16, unpackF32, pool] = await Promise.all([
      pipelines.attention(attentionVariant, attention.headSize, attention.mask),
      pipelines.residualNorm(norm.order === 'post', threads),
      pipelines.embedding(f16, embeddings.types !== undefined),
      pipelines.unpack(true),
      pipelines.unpack(false),
      pipelines.pool(threads),
      linear(hiddenSize, added),
      linear(mlp.innerSize, added),
      ...whole,
    ])
    return {
      matmul,
      fused,
      attentionVariant,
      linear: (columns, epilogue) => found(linears, `${columns} ${epilogue}`),
      sum: (epilogue) => found(sums, epilogue),
      attention: attentionKernel,
      residualNorm,
      embedding,
      unpackF16,
      unpackF32,
      pool,
    }
  }

  /** Writes the run's inputs and records its dispatches. Everything that it needs is on the device. */
  encode(span: RunSpan, kernels: RunKernels, target: RunTarget): RunEncoding {
    const encoding = new RunEncoding(this, span, kernels, target)
    encoding.input()
    for (let k = span.from; k < span.to; k++) {
      if (k > span.from && (k - span.from) % target.sliceLayers === 0) {
        encoding.recording.endSlice()
      }
      encoding.layer(k)
    }
    encoding.end()
    return encoding
  }
}

function found(kernels: ReadonlyMap<string, Kernel>, key: string): Kernel {
  const kernel = kernels.get(key)
  if (kernel === undefined) {
    throw new Error(`No kernel was compiled for ${key}.`)
  }
  return kernel
}

/** Bytes of uniforms for so many dispatches. */
export function uniformBytes(dispatches: number): number {
  return dispatches * UNIFORM_SLOT
}
