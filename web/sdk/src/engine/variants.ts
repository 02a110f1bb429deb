/** Shape of one way to multiply activations by weights. */
export type MatmulVariant =
  | {
      readonly kind: 'row'
      readonly threads: number
      /** Threads along the inner dimension. */
      readonly lanes: number
      /** Outputs of such a team of lanes. */
      readonly columns: number
      /** The same where it normalises its input: more, for they share that. */
      readonly normedColumns: number
      readonly subgroups: boolean
    }
  | {
      readonly kind: 'tile'
      /** Outputs of a workgroup. */
      readonly tileRows: number
      readonly tileColumns: number
      /** Outputs of a thread. */
      readonly rows: number
      readonly columns: number
      /** Columns of the inner dimension that lie in workgroup memory at once. */
      readonly depth: number
    }
  | {
      readonly kind: 'plain'
      /** Of a thread, with four columns. */
      readonly rows: 1 | 4
    }

export type TileShape = Extract<MatmulVariant, { kind: 'tile' }>

/** Shape of one way to attend; the one without tiles takes a token and a head a thread. */
export type AttentionVariant =
  | {
      readonly kind: 'tile'
      readonly queries: number
      /** A multiple of 4. */
      readonly keys: number
      /** Queries of a thread. */
      readonly rows: number
    }
  | { readonly kind: 'plain' }
  /** For single tokens on a cache: parts of the keys at once, then another kernel that joins them. */
  | {
      readonly kind: 'split'
      /** Of a part; by the length of the context where it is left out. */
      readonly keys?: number
    }

/**
 * Every shape of the matmul. Measured on an H100 at 1, 16, 64 and 256 rows of GPT-2 XL's layers among some fifty: each row here is
 * the best for its range within a few per cent, but for `tile-64`: it stands in for `tile-64-deep` within the default limits.
 */
export const MATMULS = {
  'row-subgroups': { kind: 'row', threads: 128, lanes: 128, columns: 2, normedColumns: 4, subgroups: true },
  row: { kind: 'row', threads: 128, lanes: 128, columns: 2, normedColumns: 4, subgroups: false },
  'tile-16': { kind: 'tile', tileRows: 16, tileColumns: 64, rows: 2, columns: 4, depth: 32 },
  'tile-64-deep': { kind: 'tile', tileRows: 64, tileColumns: 64, rows: 8, columns: 4, depth: 32 },
  'tile-64': { kind: 'tile', tileRows: 64, tileColumns: 64, rows: 8, columns: 4, depth: 16 },
  'plain-row': { kind: 'plain', rows: 1 },
  plain: { kind: 'plain', rows: 4 },
} as const satisfies Record<string, MatmulVariant>

export type MatmulName = keyof typeof MATMULS

/**
 * Queries and keys of attention's tiles for sequences up to a length, the best first; the first that fits the device's workgroup memory is
 * taken. Small tiles for short sequences: they make more workgroups.
 */
const ATTENTION_TILES = [
  {
    mostTokens: 8,
    tiles: [
      [4, 32],
      [4, 16],
      [4, 8],
      [4, 4],
    ],
  },
  {
    mostTokens: 512,
    tiles: [
      [16, 32],
      [16, 16],
      [8, 16],
      [8, 8],
      [4, 8],
      [4, 4],
    ],
  },
  {
    mostTokens: Number.POSITIVE_INFINITY,
    tiles: [
      [32, 32],
      [16, 32],
      [16, 16],
      [8, 16],
      [8, 8],
      [4, 8],
      [4, 4],
    ],
  },
] as const

/** What a run's shape is decided by. */
export interface DeviceTraits {
  readonly software: boolean
  readonly subgroups: boolean
  /** Largest size of a subgroup. */
  readonly subgroupSize: number
  /** Bytes of workgroup memory. */
  readonly workgroupMemory: number
}

/** Names variants to take whatever the shape. */
export interface ForcedVariants {
  readonly matmul?: MatmulName
  readonly attention?: Exclude<AttentionVariant, { kind: 'split' }>
  /** Attention of single tokens on a cache. */
  readonly decode?: Extract<AttentionVariant, { kind: 'split' | 'plain' }>
  /** Threads of a row in the LayerNorm. */
  readonly norm?: NormLanes
}

export type NormLanes = 16 | 256

export function deviceTraits({ adapterInfo, features, limits }: GPUDevice): DeviceTraits {
  const { architecture, subgroupMaxSize, isFallbackAdapter } = adapterInfo
  return {
    software: isFallbackAdapter || architecture === 'swiftshader',
    subgroups: features.has('subgroups'),
    subgroupSize: subgroupMaxSize ?? 128,
    workgroupMemory: limits.maxComputeWorkgroupStorageSize,
  }
}

/** Matmuls for so many rows that the device can run, the best first. */
export function matmuls(rows: number, traits: DeviceTraits): readonly MatmulName[] {
  const subgroups = traits.subgroups && traits.subgroupSize <= MATMULS['row-subgroups'].lanes
  const deep = matmulMemory(MATMULS['tile-64-deep']) <= traits.workgroupMemory
  const row: MatmulName[] = subgroups ? ['row-subgroups', 'row'] : ['row']
  const tiles: MatmulName[] = deep ? ['tile-64-deep', 'tile-64'] : ['tile-64']
  const plain: MatmulName[] = rows === 1 ? ['plain-row', 'plain'] : ['plain', 'plain-row']
  if (traits.software) {
    // A tile takes seconds to compile there.
    return [...plain, ...row]
  }
  if (rows === 1) {
    return [...row, 'tile-16', ...plain, ...tiles]
  }
  return rows <= 32 ? ['tile-16', ...tiles, ...plain, ...row] : [...tiles, 'tile-16', ...plain, ...row]
}

/** Attentions for sequences of at most so many tokens that the device can run, the best first. */
export function attentions(
  tokens: number,
  headSize: number,
  traits: DeviceTraits,
): readonly NonNullable<ForcedVariants['attention']>[] {
  const shapes: readonly (readonly [number, number])[] =
    ATTENTION_TILES.find(({ mostTokens }) => tokens <= mostTokens)?.tiles ?? []
  const tiles = shapes
    .filter((shape) => attentionMemory(...shape, headSize) <= traits.workgroupMemory)
    .map(([queries, keys]) => ({ kind: 'tile', queries, keys, rows: queries === 32 ? 2 : 1 }) as const)
  const plain = { kind: 'plain' } as const
  return traits.software ? [plain, ...tiles.slice(-1)] : [...tiles, plain]
}

/** Attentions of single tokens on a cache, the best first. */
export function decodes({ software }: DeviceTraits): readonly NonNullable<ForcedVariants['decode']>[] {
  return software ? [{ kind: 'plain' }, { kind: 'split' }] : [{ kind: 'split' }, { kind: 'plain' }]
}

/** Threads of a row in the LayerNorm, the best first. */
export function normLanes({ software }: DeviceTraits): readonly NormLanes[] {
  return software ? [16, 256] : [256, 16]
}

/** Keys of a tile of `attention_split`. */
const SPLIT_TILE = 64

/**
 * Keys of each part that the keys of single tokens are split into.
 *
 * @param bytes of the buffer for what the parts come to
 */
export function splitKeys(
  queries: number,
  { heads, headSize }: { readonly heads: number; readonly headSize: number },
  keys: number,
  bytes: number,
): number {
  const tiles = Math.ceil(keys / SPLIT_TILE)
  const wanted = Math.floor(WORKGROUPS / (queries * heads))
  const room = Math.floor(bytes / (queries * heads * (Math.ceil(headSize / 4) + 1) * 16))
  return Math.ceil(tiles / Math.max(1, Math.min(wanted, room))) * SPLIT_TILE
}

/**
 * Slices of the inner dimension. A large GPU holds more than a thousand workgroups at once; with few, it waits for memory more than
 * it computes.
 */
export function sliceCount(workgroups: number, steps: number, { tileRows }: TileShape): number {
  const wanted = Math.ceil(WORKGROUPS / workgroups)
  const most = tileRows < 64 ? MOST_SLICES : MOST_SLICES / 2
  return Math.max(1, Math.min(wanted, most, Math.floor(steps / FEWEST_STEPS)))
}

const WORKGROUPS = 1_200
const MOST_SLICES = 16
/** Of eight columns each. */
const FEWEST_STEPS = 8

/** Floats that the sums of all slices take at most, for `rows` rows of `stride` floats. */
export function partialFloats(rows: number, stride: number): number {
  const tiles = WORKGROUPS * MATMULS['tile-64'].tileRows * MATMULS['tile-64'].tileColumns
  return rows * stride + Math.min((MOST_SLICES - 1) * rows * stride, tiles)
}

function matmulMemory({ tileRows, tileColumns, depth }: TileShape): number {
  return (tileRows + tileColumns) * (depth / 4 + 1) * 16
}

function attentionMemory(queries: number, keys: number, headSize: number): number {
  const pitch = Math.ceil(headSize / 4) | 1
  return (queries + keys) * pitch * 16 + queries * ((keys / 4) | 1) * 16
}

/** A variant as `describe` shows it. */
export function describeMatmul(name: MatmulName): string {
  const variant: MatmulVariant = MATMULS[name]
  switch (variant.kind) {
    case 'row':
      return `${name}: ${variant.threads} threads, ${variant.lanes} a team for ${variant.columns} columns`
    case 'tile':
      return `${name}: ${variant.tileRows}x${variant.tileColumns} a workgroup, ${variant.rows}x${variant.columns} a thread, depth ${variant.depth}`
    case 'plain':
      return `${name}: ${variant.rows}x4 a thread`
  }
}

export function describeAttention(variant: AttentionVariant): string {
  switch (variant.kind) {
    case 'plain':
      return 'plain: a token a thread'
    case 'split':
      return `split: ${SPLIT_TILE} keys or a multiple a workgroup`
    case 'tile':
      return `${variant.queries} queries x ${variant.keys} keys`
  }
}

export function describeNorm(lanes: NormLanes): string {
  return `${lanes} threads a row`
}
