import type { Canary, Dtype, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { canaryInput, canaryRows, canaryTokens, checkAnswer, checkSame, truncateToHalves } from './canary'
import { type KernelChoice, type Role, type Selection, variantName } from './kernel-choice'
import type { KvCache } from './kv-cache'
import { logitStride } from './logits-memory'
import type { RunSpan } from './run-encoding'
import type { SessionHost } from './session'
import type { ForcedVariants } from './variants'
import { rowStride } from './workspace'

/** Tokens that are compared with the highest of the logits; a power of two, so that pairs fill whole bindings. */
const COMPARED_TOP = 16

/** What the proof has of its engine. */
export interface ProofHost extends Pick<SessionHost, 'compute'> {
  readonly manifest: Manifest
  readonly dtype: Dtype
  readonly choice: KernelChoice
  /** Rows of a run at most. */
  readonly mostTokens: number
  logits(rows: number, forced: ForcedVariants): ReturnType<SessionHost['logits']>
  /** A cache for one sequence of layers `[from, to)`. */
  cache(from: number, to: number): KvCache
}

/** Runs a canary with these variants; gives the failure, if any. */
type Trial = (selection: Selection) => Promise<Error | undefined>

/**
 * Runs canaries: of every unit, and of the first layer under each variant of a kernel that runs will take. A variant that computes
 * wrong is dropped for another.
 */
export class Proof {
  readonly #proved = new Set<string>()
  /** Variants with which the canary of some unit has passed. */
  readonly #right = new Set<string>()
  #served = false
  /** Kernels all of whose variants in use are proved, with the exclusions of that time. */
  readonly #settled = new Map<string, number>()

  constructor(private readonly host: ProofHost) {}

  /**
   * Runs the canary of an attached unit; one whose shard has none passes.
   *
   * @throws SplitComputeError `canary_failed` where no variant computes it right
   */
  async check(unit: string, signal: AbortSignal): Promise<void> {
    const { manifest, dtype, mostTokens } = this.host
    const canary = manifest.units.get(unit)?.get(dtype)?.canary
    if (canary === undefined) {
      return
    }
    const trial: Trial = (selection) =>
      caught(
        unit === 'lm_head'
          ? this.#logits(canary, selection, signal)
          : this.#whole(unit, canary, selection, signal),
      )
    const rows = unit === 'lm_head' ? 1 : canaryRows(manifest)
    const selection = await this.#settle(rows, rolesOf(unit), trial)
    if (layerOf(unit) !== undefined) {
      if (!this.#served) {
        await this.#asServed(unit, canary, selection, signal)
        this.#served = true
      }
      await this.#proveInUse('matmul', mostTokens, selection, trial)
      await this.#proveInUse('attention', manifest.maxTokens, selection, trial)
      await this.#proveInUse('norm', 1, selection, trial)
      if (manifest.layer.attention.mask === 'causal') {
        const single: Trial = (forced) => caught(this.#single(unit, canary, selection, forced, signal))
        await this.#proveInUse('matmul', 1, selection, single, 'single ')
      }
    }
  }

  /**
   * Runs the canary of a layer token by token on a cache, under each variant that sessions take.
   *
   * @throws SplitComputeError `canary_failed` where no variant computes it right
   */
  async checkSteps(layers: readonly number[], signal: AbortSignal): Promise<void> {
    const { manifest, dtype } = this.host
    const rows = canaryRows(manifest)
    for (const k of layers) {
      const canary = manifest.units.get(`layer.${k}`)?.get(dtype)?.canary
      if (canary !== undefined && rows > 1) {
        const trial: Trial = (selection) => caught(this.#steps(k, canary, selection, signal))
        const selection = await this.#settle(rows, ['matmul', 'attention', 'decode', 'norm'], trial)
        await this.#proveInUse('decode', 1, selection, trial)
        await this.#proveInUse('attention', manifest.maxTokens, selection, trial, 'cached ')
        return
      }
    }
  }

  /** The variants that are taken for so many rows, once the canary passes with them. */
  async #settle(rows: number, roles: readonly Role[], trial: Trial): Promise<Selection> {
    const { choice } = this.host
    for (;;) {
      const selection = choice.select(rows, rows)
      const failure = await trial(selection)
      const known = `${roles} ${key(selection)}`
      if (failure === undefined) {
        this.#right.add(known)
        return selection
      }
      // They computed another unit right: it is this one's bytes that are wrong.
      if (this.#right.has(known)) {
        throw failure
      }
      const right = await this.#search(selection, rows, roles, trial)
      if (right === undefined) {
        throw failure
      }
      await this.#blame(selection, right, roles, trial)
    }
  }

  /** Variants with which the canary passes: the plainest ones, one other than the chosen or the plainest, or all others. */
  async #search(
    chosen: Selection,
    rows: number,
    roles: readonly Role[],
    trial: Trial,
  ): Promise<Selection | undefined> {
    const { choice } = this.host
    const plainest: Selection = { ...chosen, ...pick(PLAINEST, roles) }
    const others = (around: Selection) =>
      roles.flatMap((role) =>
        choice.candidates(role, rows).map((variant): Selection => ({ ...around, [role]: variant })),
      )
    const unlike = (role: Role) => {
      const names = (variant: Selection[Role]) => variantName(role, variant)
      return choice.candidates(role, rows).find((variant) => names(variant) !== names(chosen[role]))
    }
    const different: Selection = {
      ...chosen,
      ...Object.fromEntries(roles.map((role) => [role, unlike(role) ?? chosen[role]])),
    }
    const tried = new Set([key(chosen)])
    for (const selection of [plainest, ...others(chosen), different, ...others(plainest)]) {
      if (!tried.has(key(selection)) && this.#allowed(selection, rows, roles)) {
        tried.add(key(selection))
        if ((await trial(selection)) === undefined) {
          return selection
        }
      }
    }
    return undefined
  }

  #allowed(selection: Selection, rows: number, roles: readonly Role[]): boolean {
    return roles.every((role) =>
      this.host.choice
        .candidates(role, rows)
        .some((variant) => variantName(role, variant) === variantName(role, selection[role])),
    )
  }

  /** Excludes what of `wrong` makes `right` fail. */
  async #blame(wrong: Selection, right: Selection, roles: readonly Role[], trial: Trial): Promise<void> {
    const { choice } = this.host
    const differing = roles.filter(
      (role) => variantName(role, wrong[role]) !== variantName(role, right[role]),
    )
    let found = false
    for (const role of differing) {
      if (differing.length === 1 || (await trial({ ...right, [role]: wrong[role] })) !== undefined) {
        choice.exclude(role, wrong[role])
        found = true
      }
    }
    if (!found) {
      for (const role of differing) {
        choice.exclude(role, wrong[role])
      }
    }
  }

  /** @param kind tells kernels apart that have the same variants */
  async #proveInUse(role: Role, most: number, selection: Selection, trial: Trial, kind = ''): Promise<void> {
    const { choice } = this.host
    if (this.#settled.get(kind + role) === choice.exclusions) {
      return
    }
    const name = (variant: Selection[Role]) => `${kind}${role} ${variantName(role, variant)}`
    if (kind !== 'single ') {
      this.#proved.add(name(selection[role]))
    }
    for (;;) {
      const variant = choice.inUse(role, most).find((used) => !this.#proved.has(name(used)))
      if (variant === undefined) {
        this.#settled.set(kind + role, choice.exclusions)
        return
      }
      if ((await trial({ ...selection, [role]: variant })) === undefined) {
        this.#proved.add(name(variant))
      } else {
        choice.exclude(role, variant)
      }
    }
  }

  async #whole(unit: string, canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const layer = layerOf(unit)
    const from = layer ?? manifest.layers
    const rows = canaryRows(manifest)
    const span = {
      lengths: [rows],
      input: unit === 'embeddings' ? canaryTokens(canary, manifest) : inputRows(canary, manifest, 0, rows),
      from,
      to: layer === undefined ? from : from + 1,
      final: unit === 'final',
      forced,
    }
    await this.#compare(unit, canary, [span], signal)
  }

  /**
   * The first row alone, which sees no other, against what it was among all: single rows have kernels of their own.
   *
   * @param right variants with which the canary passes
   */
  async #single(
    unit: string,
    canary: Canary,
    right: Selection,
    forced: Selection,
    signal: AbortSignal,
  ): Promise<void> {
    const { manifest } = this.host
    const { hiddenSize } = manifest
    const from = layerOf(unit) ?? manifest.layers
    const span = (rows: number, selection: Selection): RunSpan => ({
      lengths: [rows],
      input: inputRows(canary, manifest, 0, rows),
      from,
      to: from + 1,
      final: false,
      forced: selection,
    })
    const stride = rowStride(hiddenSize)
    const spans = [span(canaryRows(manifest), right), span(1, forced)]
    const finish = (_: unknown, __: unknown, to: number) => [{ from: 0, rows: 1, to }]
    const values = await this.host.compute(spans, 2 * stride * 4, signal, finish, 0)
    checkSame(unit, values.subarray(0, hiddenSize), values.subarray(stride, stride + hiddenSize))
  }

  /** A layer as requests run it, from halves to a pooled row, against its rows from floats, averaged here. */
  async #asServed(unit: string, canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const { hiddenSize } = manifest
    const rows = canaryRows(manifest)
    const from = layerOf(unit) ?? manifest.layers
    const { halves, floats } = truncateToHalves(canaryInput(canary, manifest))
    const span = (input: RunSpan['input']): RunSpan => ({
      lengths: [rows],
      input,
      from,
      to: from + 1,
      final: false,
      forced,
    })
    const stride = rowStride(hiddenSize)
    const spans = [span({ dtype: 'f16', bytes: halves }), span({ dtype: 'f32', bytes: floats })]
    const values = await this.host.compute(
      spans,
      (1 + rows) * stride * 4,
      signal,
      (results, encoding, i) => {
        if (i > 0) {
          return [{ from: 0, rows, to: 1 }]
        }
        encoding.pool('mean', false, results, 0)
        return []
      },
      1,
    )
    const mean = Float32Array.from({ length: hiddenSize }, (_, column) => {
      let sum = 0
      for (let row = 1; row <= rows; row++) {
        sum += at(values, row * stride + column)
      }
      return sum / rows
    })
    checkSame(unit, mean, values.subarray(0, hiddenSize))
  }

  /** The last row behind all others as a single token, and the last two together: attention on a cache has a kernel for each. */
  async #steps(k: number, canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const rows = canaryRows(manifest)
    const pasts = [rows - 1, rows - 2].filter((some) => some > 0)
    // A canary is short, and would be one part.
    const inParts: Selection[] = forced.decode.kind === 'split' ? [{ ...forced, decode: IN_PARTS }] : []
    const runs = [
      ...pasts.map((past) => ({ past, forced })),
      ...inParts.map((selection) => ({ past: rows - 1, forced: selection })),
    ]
    for (const { past, forced } of runs) {
      const cache = this.host.cache(k, k + 1)
      try {
        await cache.reserve(rows)
        const step = (from: number, end: number): RunSpan => ({
          lengths: [end - from],
          input: inputRows(canary, manifest, from, end),
          from: k,
          to: k + 1,
          final: false,
          cached: cache.sequences([0], [from]),
          forced,
        })
        await this.#compare(`layer.${k}`, canary, [step(0, past), step(past, rows)], signal)
      } finally {
        cache.destroy()
      }
    }
  }

  async #compare(
    unit: string,
    canary: Canary,
    spans: readonly RunSpan[],
    signal: AbortSignal,
  ): Promise<void> {
    const { hiddenSize } = this.host.manifest
    const last = spans.length - 1
    const from = (spans[last]?.lengths[0] ?? 0) - 1
    const size = rowStride(hiddenSize) * 4
    const finish = (_: unknown, __: unknown, i: number) => (i === last ? [{ from, rows: 1, to: 0 }] : [])
    const values = await this.host.compute(spans, size, signal, finish, 0)
    checkAnswer(unit, canary, values.subarray(0, hiddenSize))
  }

  /** The logits of the last row, and whether the device finds the highest among them. */
  async #logits(canary: Canary, forced: Selection, signal: AbortSignal): Promise<void> {
    const { manifest } = this.host
    const { layers, vocabularySize } = manifest
    const rows = canaryRows(manifest)
    const input = inputRows(canary, manifest, 0, rows)
    const span = { lengths: [rows], input, from: layers, to: layers, final: false, forced }
    const encoder = await this.host.logits(1, forced)
    const stride = logitStride(manifest)
    let k = COMPARED_TOP
    while (k > vocabularySize) {
      k /= 2
    }
    const values = await this.host.compute(
      [span],
      stride * 4 + k * 8,
      signal,
      (results, encoding) => {
        encoder.encode(encoding, [rows - 1], { kind: 'logits' }, results, 0)
        encoder.encode(encoding, [rows - 1], { kind: 'top', k }, results, stride / 2 / k)
        return []
      },
      2 * encoder.dispatches(1),
    )
    const logits = values.subarray(0, vocabularySize)
    checkAnswer('lm_head', canary, logits)
    const words = new Uint32Array(values.buffer, (values.byteOffset ?? 0) + stride * 4, 2 * k)
    const best = Array.from(logits.keys()).sort((a, b) => at(logits, b) - at(logits, a) || a - b)
    for (let j = 0; j < k; j++) {
      if (words[2 * j + 1] !== best[j]) {
        throw new SplitComputeError(
          'canary_failed',
          `This device finds token ${words[2 * j + 1]} where ${best[j]} is in place ${j} of the highest logits.`,
        )
      }
    }
  }
}

const IN_PARTS = { kind: 'split', keys: 3 } as const

const PLAINEST: Selection = {
  matmul: 'plain',
  attention: { kind: 'plain' },
  decode: { kind: 'plain' },
  norm: 16,
}

function pick(selection: Selection, roles: readonly Role[]): Partial<Selection> {
  return Object.fromEntries(roles.map((role) => [role, selection[role]]))
}

function key(selection: Selection): string {
  return JSON.stringify(selection, ['matmul', 'attention', 'decode', 'norm', 'kind', 'queries', 'keys'])
}

function layerOf(unit: string): number | undefined {
  const layer = /^layer\.(\d+)$/.exec(unit)?.[1]
  return layer === undefined ? undefined : Number(layer)
}

/** The kernels of a unit that have variants. */
function rolesOf(unit: string): readonly Role[] {
  if (layerOf(unit) !== undefined) {
    return ['matmul', 'attention', 'norm']
  }
  return [unit === 'lm_head' ? 'matmul' : 'norm']
}

function inputRows(canary: Canary, manifest: Manifest, from: number, to: number): RunSpan['input'] {
  const rowBytes = manifest.hiddenSize * 4
  const bytes = new Uint8Array(canaryInput(canary, manifest).buffer).subarray(from * rowBytes, to * rowBytes)
  return { dtype: 'f32', bytes }
}

/** The failure that another variant may not have; any other error is thrown. */
async function caught(run: Promise<void>): Promise<Error | undefined> {
  try {
    await run
    return undefined
  } catch (error) {
    if (error instanceof SplitComputeError && error.code === 'canary_failed') {
      return error
    }
    if (error instanceof Error && error.name === 'GPUPipelineError') {
      return new SplitComputeError('canary_failed', 'A kernel does not compile on this device.', {
        cause: error,
      })
    }
    throw error
  }
}

function at(values: Float32Array, index: number): number {
  return values[index] ?? Number.NaN
}
