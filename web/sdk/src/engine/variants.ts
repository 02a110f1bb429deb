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
      /** Outputs of a thread. */
      readonly rows: 1 | 4
      readonly columns: 4
      /** Threads of a workgroup. */
      readonly across: number
      readonly down: number
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

type AttentionTile = Extract<AttentionVariant, { kind: 'tile' }>

/** Heads of a workgroup of the plain attention, one a thread. */
export const PLAIN_HEADS = 16

/** Keys of a tile of the split attention, one a thread. */
export const SPLIT_TILE = 64

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
  'plain-row': { kind: 'plain', rows: 1, columns: 4, across: 16, down: 1 },
  plain: { kind: 'plain', rows: 4, columns: 4, across: 16, down: 4 },
} as const satisfies Record<string, MatmulVariant>

export type MatmulName = keyof typeof MATMULS

/**
 * Every shape of attention. Small tiles are for short sequences: they make more workgroups. The smallest is for heads whose others do not
 * fit the workgroup's memory: 16 KiB, the least that there may be, are enough for heads of up to 164.
 */
export const ATTENTIONS = {
  'tile-4': { kind: 'tile', queries: 4, keys: 32, rows: 1 },
  'tile-16': { kind: 'tile', queries: 16, keys: 32, rows: 1 },
  'tile-32': { kind: 'tile', queries: 32, keys: 32, rows: 2 },
  'tile-8': { kind: 'tile', queries: 8, keys: 16, rows: 1 },
  plain: { kind: 'plain' },
  split: { kind: 'split' },
} as const satisfies Record<string, AttentionVariant>

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
  { software, workgroupMemory }: DeviceTraits,
): readonly NonNullable<ForcedVariants['attention']>[] {
  const { plain, 'tile-8': small } = ATTENTIONS
  const large =
    tokens <= 8
      ? [ATTENTIONS['tile-4']]
      : [...(tokens <= 512 ? [] : [ATTENTIONS['tile-32']]), ATTENTIONS['tile-16']]
  const tiles = [...large, small].filter((tile) => attentionMemory(tile, headSize) <= workgroupMemory)
  return software ? [plain, ...tiles.slice(-1)] : [...tiles, plain]
}

/** Attentions of single tokens on a cache, the best first. */
export function decodes({ software }: DeviceTraits): readonly NonNullable<ForcedVariants['decode']>[] {
  const { plain, split } = ATTENTIONS
  return software ? [plain, split] : [split, plain]
}

/** Threads of a row in the LayerNorm, the best first. */
export function normLanes({ software }: DeviceTraits): readonly NormLanes[] {
  return software ? [16, 256] : [256, 16]
}

function matmulMemory({ tileRows, tileColumns, depth }: TileShape): number {
  return (tileRows + tileColumns) * (depth / 4 + 1) * 16
}

function attentionMemory({ queries, keys }: AttentionTile, headSize: number): number {
  const pitch = Math.ceil(headSize / 4) | 1
  return (queries + keys) * pitch * 16 + queries * ((keys / 4) | 1) * 16
}
