import type { Canary, Dtype } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { canaryRows } from './canary'
import { type CanaryHost, CanaryRuns, layerOf } from './canary-runs'
import { type KernelChoice, type Role, type Selection, variantName } from './kernel-choice'

/** What the proof has of its engine. */
export interface ProofHost extends CanaryHost {
  readonly dtype: Dtype
  readonly choice: KernelChoice
  /** Whether a unit is on the device. */
  readonly attached: (unit: string) => boolean
}

/** Runs a canary with these variants; gives the failure, if any. */
type Trial = (selection: Selection) => Promise<Error | undefined>

/** A layer whose canary has passed, and the variants with which it has. */
interface Witness {
  readonly unit: string
  readonly canary: Canary
  readonly selection: Selection
}

/** Of a proof: it serves every run that waits for it, and none of them may end it. */
const UNENDING = new AbortController().signal

/**
 * Runs canaries: of every unit when it is attached, and of a layer under each variant of a kernel before the first run that takes it. A
 * variant that computes wrong is dropped for another.
 */
export class Proof {
  readonly #proved = new Set<string>()
  readonly #proving = new Map<string, Promise<void>>()
  /** Variants with which the canary of some unit has passed. */
  readonly #right = new Set<string>()
  #served = false
  readonly #witnesses = new Map<string, Witness>()
  /** Kernels all of whose variants in use are proved, with the exclusions of that time. */
  readonly #settled = new Map<string, number>()
  readonly #runs: CanaryRuns

  constructor(private readonly host: ProofHost) {
    this.#runs = new CanaryRuns(host)
  }

  /**
   * Runs the canary of an attached unit; one whose shard has none passes.
   *
   * @throws SplitComputeError `canary_failed` where no variant computes it right
   */
  async check(unit: string, signal: AbortSignal): Promise<void> {
    const { manifest, dtype } = this.host
    const canary = manifest.units.get(unit)?.get(dtype)?.canary
    if (canary === undefined) {
      return
    }
    const isLayer = layerOf(unit) !== undefined
    const trial: Trial = (selection) => {
      if (unit === 'lm_head') {
        return caught(this.#runs.logits(canary, selection, signal))
      }
      return caught(
        isLayer && !this.#served
          ? this.#runs.asServed(unit, canary, selection, signal)
          : this.#runs.whole(unit, canary, selection, signal),
      )
    }
    const rows = unit === 'lm_head' ? 1 : canaryRows(manifest)
    const selection = await this.#settle(rows, rolesOf(unit), trial)
    if (isLayer) {
      this.#served = true
      this.#witnesses.set(unit, { unit, canary, selection })
      for (const role of rolesOf(unit)) {
        this.#proved.add(use(role, selection[role]))
      }
    }
  }

  /**
   * Proves the variants that a run takes and that no canary has run with. Nothing can be proved before a layer's canary has passed.
   *
   * @param longest tokens of its longest sequence
   * @throws SplitComputeError `canary_failed` where every variant of a kernel computes wrong
   */
  async ready(rows: number, longest: number): Promise<void> {
    const { choice, manifest, attached } = this.host
    const witness = [...this.#witnesses.values()].find(({ unit }) => attached(unit))
    if (witness === undefined) {
      return
    }
    const { unit, canary, selection } = witness
    // A token that sees no other has kernels of its own.
    const alone = rows === 1 && manifest.layer.attention.mask === 'causal'
    for (;;) {
      const selected = choice.select(rows, longest)
      const of = (role: Role) => use(role, selected[role], role === 'matmul' && alone ? 'single ' : '')
      const role = rolesOf(unit).find((role) => !this.#proved.has(of(role)))
      if (role === undefined) {
        return
      }
      const forced = { ...selection, [role]: selected[role] }
      await this.#prove(role, selected[role], of(role), () =>
        caught(
          role === 'matmul' && alone
            ? this.#runs.single(unit, canary, selection, forced, UNENDING)
            : this.#runs.whole(unit, canary, forced, UNENDING),
        ),
      )
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
        const trial: Trial = (selection) => caught(this.#runs.steps(k, canary, selection, signal))
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
    this.#proved.add(use(role, selection[role], kind))
    for (;;) {
      const variant = choice.inUse(role, most).find((used) => !this.#proved.has(use(role, used, kind)))
      if (variant === undefined) {
        this.#settled.set(kind + role, choice.exclusions)
        return
      }
      await this.#prove(role, variant, use(role, variant, kind), () =>
        trial({ ...selection, [role]: variant }),
      )
    }
  }

  /** Tries a variant, and excludes it where it computes wrong; several may ask for the same at once. */
  #prove(
    role: Role,
    variant: Selection[Role],
    name: string,
    trial: () => Promise<Error | undefined>,
  ): Promise<void> {
    const conclude = async () => {
      if ((await trial()) === undefined) {
        this.#proved.add(name)
      } else {
        this.host.choice.exclude(role, variant)
      }
    }
    const proving = this.#proving.get(name) ?? conclude().finally(() => this.#proving.delete(name))
    this.#proving.set(name, proving)
    return proving
  }
}

/** What a variant is taken for. */
function use(role: Role, variant: Selection[Role], kind = ''): string {
  return `${kind}${role} ${variantName(role, variant)}`
}

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

/** The kernels of a unit that have variants. */
function rolesOf(unit: string): readonly Role[] {
  if (layerOf(unit) !== undefined) {
    return ['matmul', 'attention', 'norm']
  }
  return [unit === 'lm_head' ? 'matmul' : 'norm']
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
    throw error
  }
}
