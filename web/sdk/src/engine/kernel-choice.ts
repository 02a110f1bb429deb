import { SplitComputeError } from '../errors'
import {
  type AttentionVariant,
  attentions,
  type DeviceTraits,
  decodes,
  type ForcedVariants,
  MATMULS,
  type MatmulName,
  type MatmulVariant,
  matmuls,
  type NormLanes,
  normLanes,
  SPLIT_TILE,
} from './variants'

/** A variant of every kernel that has several. */
export type Selection = Required<ForcedVariants>

export type Role = keyof Selection

export const ROLES = ['matmul', 'attention', 'decode', 'norm'] as const satisfies readonly Role[]

/** Which variant of each kernel a device takes for a shape: the best that is not known to compute wrong there. */
export class KernelChoice {
  /** As `describe` names them, by role. */
  readonly #excluded = new Map<Role, Set<string>>()

  /** @param forced variants to take whatever the shape */
  constructor(
    private readonly traits: DeviceTraits,
    private readonly headSize: number,
    private readonly forced: ForcedVariants,
  ) {}

  /** Variants that are excluded. */
  get exclusions(): number {
    return [...this.#excluded.values()].reduce((sum, names) => sum + names.size, 0)
  }

  /**
   * The variants for a run of so many rows, of sequences of at most `longest` tokens.
   *
   * @throws SplitComputeError `canary_failed` where every variant of a kernel is excluded
   */
  select(rows: number, longest: number): Selection {
    return {
      matmul: this.#first('matmul', rows),
      attention: this.#first('attention', longest),
      decode: this.#first('decode', 1),
      norm: this.#first('norm', rows),
    }
  }

  /** Every variant of a kernel that the device can run and that is not excluded, the best first. */
  candidates<R extends Role>(role: R, size: number): readonly Selection[R][] {
    const { forced } = this
    const wanted = forced[role]
    const all = wanted === undefined ? this.#all(role, size) : [wanted as Selection[R]]
    return all.filter((variant) => this.#excluded.get(role)?.has(variantName(role, variant)) !== true)
  }

  /** From now on this variant is not taken on this device. */
  exclude<R extends Role>(role: R, variant: Selection[R]): void {
    const names = this.#excluded.get(role) ?? new Set()
    this.#excluded.set(role, names.add(variantName(role, variant)))
  }

  /** The variants that runs of 1 to `most` rows take. */
  inUse<R extends Role>(role: R, most: number): readonly Selection[R][] {
    const found = new Map<string, Selection[R]>()
    for (let size = 1; size <= most; size++) {
      const variant = this.#first(role, size)
      found.set(variantName(role, variant), variant)
    }
    return [...found.values()]
  }

  /**
   * The variant of each kernel over the sizes for which it is taken, and those that are excluded.
   *
   * @param most rows of a run
   * @param mostLogits rows of a round of `lm_head`
   */
  describe(most: number, mostLogits: number): Record<string, string> {
    const described: Record<string, string> = {}
    const range = (role: Role, label: string, unit: string, end: number) => {
      let from = 1
      for (let size = 1; size <= end; size++) {
        const name = this.#firstName(role, size)
        if (size === end || this.#firstName(role, size + 1) !== name) {
          const sizes = from === size ? `${size}` : `${from} to ${size}`
          described[`${label}, ${sizes} ${unit}${size === 1 ? '' : 's'}`] = name
          from = size + 1
        }
      }
    }
    range('matmul', 'matmul', 'row', most)
    range('attention', 'attention, prefill', 'token', most)
    described['attention, decode'] = this.#firstName('decode', 1)
    described['residual norm'] = this.#firstName('norm', 1)
    range('matmul', 'lm_head', 'row', mostLogits)
    for (const [role, names] of this.#excluded) {
      described[`${role}, excluded`] = [...names].join('; ')
    }
    return described
  }

  #all<R extends Role>(role: R, size: number): readonly Selection[R][] {
    const { traits, headSize } = this
    const all: { readonly [S in Role]: () => readonly Selection[S][] } = {
      matmul: () => matmuls(size, traits),
      attention: () => attentions(size, headSize, traits),
      decode: () => decodes(traits),
      norm: () => normLanes(traits),
    }
    return all[role]()
  }

  #first<R extends Role>(role: R, size: number): Selection[R] {
    const [first] = this.candidates(role, size)
    if (first === undefined) {
      throw new SplitComputeError('canary_failed', `Every variant of the ${role} kernel computes wrong here.`)
    }
    return first
  }

  #firstName(role: Role, size: number): string {
    const [first] = this.candidates(role, size)
    return first === undefined ? 'none that computes right' : variantName(role, first)
  }
}

/** A variant as `describe` shows it. */
export function variantName<R extends Role>(role: R, variant: Selection[R]): string {
  const names: { readonly [S in Role]: (variant: Selection[S]) => string } = {
    matmul: describeMatmul,
    attention: describeAttention,
    decode: describeAttention,
    norm: describeNorm,
  }
  return names[role](variant)
}

function describeMatmul(name: MatmulName): string {
  const variant: MatmulVariant = MATMULS[name]
  switch (variant.kind) {
    case 'row':
      return `${name}: ${variant.threads} threads, ${variant.lanes} a team for ${variant.columns} columns`
    case 'tile':
      return `${name}: ${variant.tileRows}x${variant.tileColumns} a workgroup, ${variant.rows}x${variant.columns} a thread, depth ${variant.depth}`
    case 'plain':
      return `${name}: ${variant.rows}x${variant.columns} a thread`
  }
}

function describeAttention(variant: AttentionVariant): string {
  switch (variant.kind) {
    case 'plain':
      return 'plain: a token a thread'
    case 'split':
      return `split: ${SPLIT_TILE} keys or a multiple a workgroup`
    case 'tile':
      return `${variant.queries} queries x ${variant.keys} keys`
  }
}

function describeNorm(lanes: NormLanes): string {
  return `${lanes} threads a row`
}
