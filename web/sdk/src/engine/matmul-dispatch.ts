import type { Dtype } from '../client/manifest'
import { storedColumns } from '../shards/unit-layout'
import { sliceCount } from './partials'
import { f32Bits, type Grid } from './recording'
import type { MatmulVariant } from './variants'
import { rowStride } from './workspace'

/** Of one dimension of a grid, on every device. */
const MOST_WORKGROUPS = 65_535

export interface MatmulDispatch {
  /** As `linear.wgsl` has them. */
  readonly constants: readonly number[]
  readonly grid: Grid
  /** Slices of the inner dimension, whose sums lie one behind the other. */
  readonly slices: number
}

export interface MatmulShape {
  readonly rows: number
  /** Of the inner dimension. */
  readonly columns: number
  readonly out: number
  /** Floats from one row of the output to the next: by default as the workspace has them. */
  readonly outputStride?: number
  /** The output's column for the first of `out`. */
  readonly firstColumn?: number
  /** Most slices of the inner dimension. */
  readonly mostSlices: number
  /** Of the LayerNorm that the input passes first, where the matmul has one. */
  readonly epsilon?: number
}

/** What a matmul of this shape is dispatched with. */
export function matmulDispatch(matmul: MatmulVariant, dtype: Dtype, shape: MatmulShape): MatmulDispatch {
  const { rows, columns, out, outputStride = rowStride(out), firstColumn = 0, mostSlices, epsilon } = shape
  const stored = storedColumns(columns, dtype)
  // A step is eight columns: two vec4s in f32, else one element of the binding. Unaligned f32 rows are addressed in words.
  const f32Stride = stored % 4 === 0 ? stored / 4 : stored
  const weightStride = dtype === 'f32' ? f32Stride : stored / 8
  let steps = Math.ceil(columns / 8)
  let sliceSteps = steps
  let slices = 1
  let grid: Grid
  switch (matmul.kind) {
    case 'row': {
      const ofTeam = epsilon === undefined ? matmul.columns : matmul.normedColumns
      const workgroups = Math.ceil(out / ((matmul.threads / matmul.lanes) * ofTeam))
      const deep = Math.ceil(workgroups / MOST_WORKGROUPS)
      grid = [Math.ceil(workgroups / deep), rows, deep]
      break
    }
    case 'plain':
      grid = [
        Math.ceil(out / (matmul.columns * matmul.across)),
        Math.ceil(rows / (matmul.rows * matmul.down)),
      ]
      break
    case 'tile': {
      const across = Math.ceil(out / matmul.tileColumns)
      const down = Math.ceil(rows / matmul.tileRows)
      const stepsATile = matmul.depth / 8
      steps = rowStride(columns) / 8
      const wanted = Math.min(mostSlices, sliceCount(across * down, steps, matmul))
      sliceSteps = Math.ceil(steps / wanted / stepsATile) * stepsATile
      slices = Math.ceil(steps / sliceSteps)
      grid = [across, down, slices]
    }
  }
  const strides = [weightStride, rowStride(columns) / 4, outputStride]
  const norm = [columns, f32Bits(epsilon ?? 0)]
  return { constants: [rows, out, steps, ...strides, sliceSteps, firstColumn, ...norm], grid, slices }
}
