import type { Activation, Dtype, Mask } from '../client/manifest'
import { SplitComputeError } from '../errors'
import activation from './kernels/activation.wgsl'
import attentionCombine from './kernels/attention_combine.wgsl'
import attentionParams from './kernels/attention_params.wgsl'
import attentionPlain from './kernels/attention_plain.wgsl'
import attentionSplit from './kernels/attention_split.wgsl'
import attentionTile from './kernels/attention_tile.wgsl'
import cacheAligned from './kernels/cache_aligned.wgsl'
import cacheAny from './kernels/cache_any.wgsl'
import embedding from './kernels/embedding.wgsl'
import embeddingNormed from './kernels/embedding_normed.wgsl'
import embeddingPlain from './kernels/embedding_plain.wgsl'
import gather from './kernels/gather.wgsl'
import headsAligned from './kernels/heads_aligned.wgsl'
import headsAny from './kernels/heads_any.wgsl'
import inputNormed from './kernels/input_normed.wgsl'
import inputRows from './kernels/input_rows.wgsl'
import keysCached from './kernels/keys_cached.wgsl'
import keysUncached from './kernels/keys_uncached.wgsl'
import linear from './kernels/linear.wgsl'
import matmulPlain from './kernels/matmul_plain.wgsl'
import matmulPlainRow from './kernels/matmul_plain_row.wgsl'
import matmulRow from './kernels/matmul_row.wgsl'
import matmulRowSubgroups from './kernels/matmul_row_subgroups.wgsl'
import matmulTile from './kernels/matmul_tile.wgsl'
import norm from './kernels/norm.wgsl'
import pool from './kernels/pool.wgsl'
import residualNorm from './kernels/residual_norm.wgsl'
import slices from './kernels/slices.wgsl'
import sum from './kernels/sum.wgsl'
import top from './kernels/top.wgsl'
import total from './kernels/total.wgsl'
import unpack from './kernels/unpack.wgsl'
import weightsF16 from './kernels/weights_f16.wgsl'
import weightsF32 from './kernels/weights_f32.wgsl'
import weightsQ4 from './kernels/weights_q4.wgsl'
import weightsQ8 from './kernels/weights_q8.wgsl'
import within from './kernels/within.wgsl'
import { MOST_TOP, SORTED } from './logits-memory'
import {
  type AttentionVariant,
  MATMULS,
  type MatmulName,
  type MatmulVariant,
  PLAIN_HEADS,
  SPLIT_TILE,
} from './variants'

/** Of `sum`, each with four columns. */
export const SUM_THREADS = 64

/** Of a token. */
const EMBEDDING_THREADS = 64

/** Bytes of one dispatch's constants; the alignment that WebGPU guarantees for dynamic offsets. */
export const UNIFORM_SLOT = 256

const ACTIVATIONS: Readonly<Record<Activation | 'none', number>> = {
  none: 0,
  gelu_tanh: 1,
  gelu_erf: 2,
  relu: 3,
}

const WEIGHTS: Readonly<Record<Dtype, string>> = {
  f32: weightsF32,
  f16: weightsF16,
  q8: weightsQ8,
  q4: weightsQ4,
}

/** One kernel, specialised, with the layout that its bind groups follow. */
export interface Kernel {
  readonly name: string
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
}

export interface MatmulOptions {
  readonly variant: MatmulName
  readonly dtype: Dtype
  /** Rows of f32 weights that do not start at a multiple of 16 bytes. */
  readonly unaligned: boolean
  /** `undefined` for the bare sums. */
  readonly epilogue: Epilogue | undefined
  /** Of variants for rows, of which there is one: whether they normalise it first. */
  readonly normed?: boolean
}

/** What a matmul does with a sum once it has added the bias; `residual` adds it to what the output holds. */
export type Epilogue = Activation | 'none' | 'residual'

interface Source {
  readonly name: string
  /** One letter a binding behind the constants: `r` for what is read, `w` for what is written. */
  readonly access: string
  readonly constants: Readonly<Record<string, number | boolean>>
  readonly parts: readonly string[]
  readonly subgroups?: boolean
}

/** The kernels of one device, each compiled once and without blocking the page. */
export class Pipelines {
  readonly #kernels = new Map<string, Promise<Kernel>>()
  readonly #layouts = new Map<string, GPUBindGroupLayout>()

  constructor(readonly device: GPUDevice) {}

  matmul({ variant, dtype, unaligned, epilogue, normed = false }: MatmulOptions): Promise<Kernel> {
    const shape: MatmulVariant = MATMULS[variant]
    const residual = epilogue === 'residual'
    const shared = {
      UNALIGNED: unaligned,
      BIAS: epilogue !== undefined,
      RESIDUAL: residual,
      ACTIVATION: ACTIVATIONS[residual ? 'none' : (epilogue ?? 'none')],
    }
    const access = dtype === 'q8' || dtype === 'q4' ? 'rrrwr' : 'rrrw'
    const source = { name: `${variant} ${dtype}`, access, parts: [linear, WEIGHTS[dtype], activation] }
    switch (shape.kind) {
      case 'row':
        return this.#kernel({
          ...source,
          access: normed ? `${access}rr` : access,
          constants: {
            ...shared,
            THREADS: shape.threads,
            LANES: shape.lanes,
            COLUMNS: normed ? shape.normedColumns : shape.columns,
            ...(normed ? { NORM_BINDING: access.length + 1 } : {}),
          },
          parts: [
            ...source.parts,
            ...(normed ? [within, total, norm, inputNormed] : [inputRows]),
            shape.subgroups ? matmulRowSubgroups : matmulRow,
          ],
          subgroups: shape.subgroups,
        })
      case 'tile':
        return this.#kernel({
          ...source,
          constants: {
            ...shared,
            TILE_ROWS: shape.tileRows,
            TILE_COLUMNS: shape.tileColumns,
            ROWS: shape.rows,
            COLUMNS: shape.columns,
            DEPTH: shape.depth,
          },
          parts: [...source.parts, matmulTile],
        })
      case 'plain':
        return this.#kernel({
          ...source,
          constants: { ...shared, ACROSS: shape.across, DOWN: shape.down },
          parts: [...source.parts, shape.rows === 1 ? matmulPlainRow : matmulPlain],
        })
    }
  }

  sum(epilogue: Activation | 'none'): Promise<Kernel> {
    const constants = { ACTIVATION: ACTIVATIONS[epilogue], THREADS: SUM_THREADS }
    return this.#kernel({ name: 'sum', access: 'rrw', constants, parts: [activation, slices, within, sum] })
  }

  /** @param threads of a row */
  residualNorm(post: boolean, threads: number): Promise<Kernel> {
    const constants = { POST: post, THREADS: threads }
    const parts = [slices, within, total, norm, residualNorm]
    return this.#kernel({ name: 'residual norm', access: 'rrrrww', constants, parts })
  }

  /** @param cached whether keys and values of earlier runs lie in a cache, where this run's are added */
  attention(variant: AttentionVariant, headSize: number, mask: Mask, cached: boolean): Promise<Kernel> {
    const aligned = headSize % 4 === 0
    const quads = Math.ceil(headSize / 4)
    const { kind } = variant
    const bodies = { tile: attentionTile, plain: attentionPlain, split: attentionSplit }
    return this.#kernel({
      name: `attention ${kind}`,
      access: `rrw${cached ? 'w' : ''}${kind === 'split' ? 'w' : ''}`,
      constants: {
        ...(kind === 'plain' ? { HEADS: PLAIN_HEADS } : {}),
        QUADS: quads,
        CACHED: cached,
        CAUSAL: mask === 'causal',
        ...(kind === 'tile' ? { QUERIES: variant.queries, KEYS: variant.keys, ROWS: variant.rows } : {}),
        ...(kind === 'split'
          ? { THREADS: SPLIT_TILE, LANES: Math.min(8, 2 ** Math.floor(Math.log2(quads))) }
          : {}),
      },
      parts: [
        attentionParams,
        aligned ? headsAligned : headsAny,
        ...(cached ? [aligned ? cacheAligned : cacheAny, keysCached] : [keysUncached]),
        bodies[kind],
      ],
    })
  }

  attentionCombine(headSize: number): Promise<Kernel> {
    const constants = { QUADS: Math.ceil(headSize / 4) }
    const parts = [attentionParams, attentionCombine]
    return this.#kernel({ name: 'attention combine', access: 'rrw', constants, parts })
  }

  gather(): Promise<Kernel> {
    return this.#kernel({ name: 'gather', access: 'rrw', constants: {}, parts: [gather] })
  }

  /** @param raw whether it is given logits, not pairs of its own */
  top(raw: boolean): Promise<Kernel> {
    // A thread of those that sort gives one of the highest.
    const constants = { RAW: raw, SCORES: SORTED, THREADS: MOST_TOP }
    return this.#kernel({ name: 'top', access: 'rw', constants, parts: [top] })
  }

  /** @param normThreads of a row, where a LayerNorm follows */
  embedding(f16: boolean, types: boolean, normThreads?: number): Promise<Kernel> {
    const constants = { F16: f16, TYPES: types, THREADS: normThreads ?? EMBEDDING_THREADS }
    return normThreads === undefined
      ? this.#kernel({
          name: 'embedding',
          access: 'rrrrw',
          constants,
          parts: [within, embedding, embeddingPlain],
        })
      : this.#kernel({
          name: 'embedding normed',
          access: 'rrrrwrr',
          constants,
          parts: [within, total, norm, embedding, embeddingNormed],
        })
  }

  unpack(f16: boolean): Promise<Kernel> {
    return this.#kernel({ name: 'unpack', access: 'rw', constants: { F16: f16 }, parts: [unpack] })
  }

  /** @param threads of a sequence */
  pool(threads: number): Promise<Kernel> {
    const constants = { THREADS: threads }
    return this.#kernel({ name: 'pool', access: 'rrw', constants, parts: [total, pool] })
  }

  #kernel(source: Source): Promise<Kernel> {
    const key = [source.name, ...Object.values(source.constants)].join(' ')
    let kernel = this.#kernels.get(key)
    if (kernel === undefined) {
      kernel = this.#compile(key, source).catch((cause: unknown) => {
        // Whoever asks again may have more luck: a compiler fails for want of memory as well.
        this.#kernels.delete(key)
        throw new SplitComputeError('canary_failed', 'A kernel does not compile on this device.', { cause })
      })
      // Whoever runs it sees the failure; one that nobody awaits yet must not be reported as unhandled.
      kernel.catch(() => undefined)
      this.#kernels.set(key, kernel)
    }
    return kernel
  }

  async #compile(name: string, { access, constants, parts, subgroups }: Source): Promise<Kernel> {
    const code = [
      ...(subgroups === true ? ['enable subgroups;'] : []),
      ...Object.entries(constants).map(([key, value]) =>
        typeof value === 'boolean' ? `const ${key} = ${value};` : `const ${key} = ${value}u;`,
      ),
      ...parts,
    ].join('\n')
    const module = this.device.createShaderModule({ label: name, code })
    const layout = this.#layout(access)
    const pipeline = await this.device.createComputePipelineAsync({
      label: name,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    })
    return { name, pipeline, layout }
  }

  /** Explicit: a layout that a pipeline infers fits no other pipeline, and keeps drivers from sharing compiled code. */
  #layout(access: string): GPUBindGroupLayout {
    let layout = this.#layouts.get(access)
    if (layout === undefined) {
      const visibility = GPUShaderStage.COMPUTE
      const buffers = Array.from(access, (letter, i) => ({
        binding: i + 1,
        visibility,
        buffer: { type: letter === 'w' ? 'storage' : 'read-only-storage' } as const,
      }))
      const constants = {
        binding: 0,
        visibility,
        buffer: { type: 'uniform', hasDynamicOffset: true } as const,
      }
      layout = this.device.createBindGroupLayout({ entries: [constants, ...buffers] })
      this.#layouts.set(access, layout)
    }
    return layout
  }
}
