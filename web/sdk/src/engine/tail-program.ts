import type { Activation, Dtype, Manifest, Pooling } from '../client/manifest'
import { shardDtype } from '../shards/unit-layout'
import { BindGroups } from './bind-groups'
import { KernelChoice } from './kernel-choice'
import type { LogitsKernels } from './logits-encoding'
import { type Epilogue, type Kernel, type Pipelines, UNIFORM_SLOT } from './pipelines'
import { RunEncoding, type RunKernels, type RunSpan, type RunTarget } from './run-encoding'
import { deviceTraits, type ForcedVariants, MATMULS, type MatmulVariant } from './variants'
import { rowStride } from './workspace'

/** Dispatches of a layer at most, and those around the layers when the tables are whole. */
const LAYER_DISPATCHES = 10
const OTHER_DISPATCHES = 64

/** What a run begins with: token ids, or rows in a dtype. */
export type RunInput = 'tokens' | 'f16' | 'f32'

/** What decides the kernels of a run. */
export interface RunShape {
  readonly rows: number
  /** Tokens of the longest sequence. */
  readonly longest: number
  readonly inputs: readonly RunInput[]
  /** Whether there are layers to run. The canaries of embeddings and final LayerNorm do without, and without their kernels. */
  readonly layers: boolean
  /** Whether the sequences go on from a cache. */
  readonly cached: boolean
  /** Whether rows are pooled at the end. */
  readonly pooled: boolean
  /** Variants to take instead of those that the shape asks for. */
  readonly forced?: ForcedVariants
}

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

  /** Compiles the kernels that runs of a shape take, and no others: one may be waited for. */
  async kernels({
    rows,
    longest,
    inputs,
    layers,
    cached,
    pooled,
    forced = {},
  }: RunShape): Promise<RunKernels> {
    const { pipelines, dtype } = this
    const { hiddenSize, layer, embeddings } = this.manifest
    const { attention, mlp, norm } = layer
    const selected = { ...this.choice.select(rows, longest), ...forced }
    const variant = selected.matmul
    const matmul: MatmulVariant = MATMULS[variant]
    const attentionVariant = cached && longest === 1 ? selected.decode : selected.attention
    const kernels = new Map<string, Kernel>()
    const add = async (name: string, kernel: Promise<Kernel>) => {
      kernels.set(name, await kernel)
    }
    const linear = (columns: number, epilogue: Epilogue | undefined, normed = false) => {
      const unaligned = dtype === 'f32' && columns % 4 !== 0
      const options = { variant, dtype, unaligned, epilogue, normed }
      return add(`linear ${columns} ${epilogue}`, pipelines.matmul(options))
    }
    const sum = (epilogue: Activation | 'none') => add(`sum ${epilogue}`, pipelines.sum(epilogue))
    const fused = rows === 1 && matmul.kind === 'row' && norm.order === 'pre'
    const added = fused ? 'residual' : undefined
    const whole = (epilogue: Activation | 'none') =>
      matmul.kind === 'tile' ? sum(epilogue) : linear(hiddenSize, epilogue, fused)
    const f16 = shardDtype('embeddings', dtype) === 'f16'
    const normThreads = embeddings.norm === undefined ? undefined : selected.norm
    const input = (kind: RunInput) =>
      kind === 'tokens'
        ? add('embedding', pipelines.embedding(f16, embeddings.types !== undefined, normThreads))
        : add(`unpack ${kind}`, pipelines.unpack(kind === 'f16'))
    const ofLayers = () => [
      add('attention', pipelines.attention(attentionVariant, attention.headSize, attention.mask, cached)),
      ...(attentionVariant.kind === 'split'
        ? [add('attention combine', pipelines.attentionCombine(attention.headSize))]
        : []),
      linear(hiddenSize, added),
      linear(mlp.innerSize, added),
      whole('none'),
      whole(mlp.activation),
    ]
    await Promise.all([
      ...inputs.map(input),
      add('residual norm', pipelines.residualNorm(norm.order === 'post', selected.norm)),
      ...(layers ? ofLayers() : []),
      ...(pooled ? [add('pool', pipelines.pool(selected.norm))] : []),
    ])
    const get = (name: string) => {
      const kernel = kernels.get(name)
      if (kernel === undefined) {
        throw new Error(`No kernel was compiled for ${name}.`)
      }
      return kernel
    }
    return { matmul, fused, attentionVariant, get }
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
      encoding.layer(k)
    }
    encoding.end()
    return encoding
  }
}

/** Bytes of uniforms for so many dispatches. */
export function uniformBytes(dispatches: number): number {
  return dispatches * UNIFORM_SLOT
}
