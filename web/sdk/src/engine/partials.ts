import { MATMULS, SPLIT_TILE, type TileShape } from './variants'

/** What a large GPU holds at once, about. */
const WORKGROUPS = 1_200
const MOST_SLICES = 16
/** Steps of a slice, of eight columns each. */
const FEWEST_STEPS = 8

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

/** Floats that the sums of all slices take at most, for `rows` rows of `stride` floats. */
export function partialFloats(rows: number, stride: number): number {
  const tiles = WORKGROUPS * MATMULS['tile-64'].tileRows * MATMULS['tile-64'].tileColumns
  return rows * stride + Math.min((MOST_SLICES - 1) * rows * stride, tiles)
}
