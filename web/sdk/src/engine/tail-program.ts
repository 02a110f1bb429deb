import type { Activation, Dtype, Manifest, Pooling } from '../client/manifest'
import { shardDtype } from '../shards/unit-layout'
import { BindGroups } from './bind-groups'
import { KernelChoice } from './kernel-choice'
import type { LogitsKernels } from './logits-encoding'
import { type Kernel, type Pipelines, UNIFORM_SLOT } from './pipelines'
import { RunEncoding, type RunKernels, type RunSpan, type RunTarget } from './run-encoding'
import { deviceTraits, type ForcedVariants, MATMULS, type MatmulVariant } from './variants'
import { rowStride } from './workspace'

/** Dispatches of a layer at most, and those around the layers when the tables are whole. */
const LAYER_DISPATCHES = 10
const OTHER_DISPATCHES = 64

/** What the manifest's description of a model comes to as dispatches. */
export class TailProgram {
  readonly groups: BindGroups
  readonly choice: KernelChoice

  constructor(
    readonly pipelines: Pipelines,
    readonly manifest: Manifest,
    readonly dtype: Dtype,
    forced: ForcedVariants,
  ) {
    this.groups = new BindGroups(pipelines.device)
    const { headSize } = manifest.layer.attention
    this.choice = new KernelChoice(deviceTraits(pipelines.device), headSize, forced)
  }

  /** Uniform slots that the largest run takes. */
  get mostDispatches(): number {
    return this.manifest.layers * LAYER_DISPATCHES + OTHER_DISPATCHES
  }

  /** Floats from one result to the next. */
  resultStride(pooling: Pooling | 'none'): number {
    return pooling === 'none' ? rowStride(this.manifest.hiddenSize) : this.manifest.hiddenSize
  }

  /**
   * Compiles the kernels of runs of so many rows, of sequences of at most `longest` tokens.
   *
   * @param cached whether the sequences go on from a cache
   * @param forced variants to take instead of those that the shape asks for
   */
  async kernels(
    rows: number,
    longest: number,
    cached = false,
    forced: ForcedVariants = {},
  ): Promise<RunKernels> {
    const { pipelines, dtype } = this
    const { hiddenSize, layer, embeddings } = this.manifest
    const { attention, mlp, norm } = layer
    const selected = { ...this.choice.select(rows, longest), ...forced }
    const variant = selected.matmul
    const matmul: MatmulVariant = MATMULS[variant]
    const attentionVariant = cached && longest === 1 ? selected.decode : selected.attention
    const linears = new Map<string, Kernel>()
    const sums = new Map<string, Kernel>()
    const linear = async (columns: number, epilogue: Activation | 'none' | undefined) => {
      const unaligned = dtype === 'f32' && columns % 4 !== 0
      linears.set(`${columns} ${epilogue}`, await pipelines.matmul({ variant, dtype, unaligned, epilogue }))
    }
    const sum = async (epilogue: Activation | 'none') => {
      sums.set(epilogue, await pipelines.sum(epilogue))
    }
    const whole =
      matmul.kind === 'tile'
        ? [sum('none'), sum(mlp.activation)]
        : [linear(hiddenSize, 'none'), linear(hiddenSize, mlp.activation)]
    const f16 = shardDtype('embeddings', dtype) === 'f16'
    const [attentionKernel, attentionCombine, residualNorm, embedding, unpackF16, unpackF32, pool] =
      await Promise.all([
        pipelines.attention(attentionVariant, attention.headSize, attention.mask, cached),
        pipelines.attentionCombine(attention.headSize),
        pipelines.residualNorm(norm.order === 'post', selected.norm),
        pipelines.embedding(f16, embeddings.types !== undefined),
        pipelines.unpack(true),
        pipelines.unpack(false),
        pipelines.pool(),
        linear(hiddenSize, undefined),
        linear(mlp.innerSize, undefined),
        ...whole,
      ])
    return {
      matmul,
      attentionVariant,
      linear: (columns, epilogue) => found(linears, `${columns} ${epilogue}`),
      sum: (epilogue) => found(sums, epilogue),
      attention: attentionKernel,
      attentionCombine,
      residualNorm,
      embedding,
      unpackF16,
      unpackF32,
      pool,
    }
  }

  /** Compiles the kernels of `lm_head` for so many rows. */
  async logitsKernels(rows: number, forced: ForcedVariants = {}): Promise<LogitsKernels> {
    const { pipelines, dtype } = this
    const variant = forced.matmul ?? this.choice.select(rows, 1).matmul
    const unaligned = dtype === 'f32' && this.manifest.hiddenSize % 4 !== 0
    const [linear, gather, firstTop, nextTop] = await Promise.all([
      pipelines.matmul({ variant, dtype, unaligned, epilogue: undefined }),
      pipelines.gather(),
      pipelines.top(true),
      pipelines.top(false),
    ])
    return { matmul: MATMULS[variant], linear, gather, firstTop, nextTop }
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
