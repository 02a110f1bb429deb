import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { matmulDispatch } from '../../src/engine/matmul-dispatch'
import { Pipelines } from '../../src/engine/pipelines'
import { MATMULS, type MatmulName } from '../../src/engine/variants'
import { dispatch } from '../support/dispatch'
import { Random } from '../support/random-model'
import { destroyDevices, installWebGpu, openBestDevice, openDevice } from '../support/webgpu'

/** Of one dimension of a grid, by default. */
const MOST_WORKGROUPS = 65_535

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(Object.keys(MATMULS) as MatmulName[])(
  'the matmul %s of more outputs than a grid is long',
  (name) => {
    it.each([131_070, 131_071, 262_144, 1_000_003])('shouldFitTheGrid: %d', (out) => {
      const { grid } = matmulDispatch(MATMULS[name], 'f16', { rows: 3, columns: 64, out, mostSlices: 1 })
      expect(Math.max(...grid.map((size) => size ?? 1))).toBeLessThanOrEqual(MOST_WORKGROUPS)
    })
  },
)

describe.each(['row', 'row-subgroups'] as const)('the matmul %s', (variant) => {
  const [ROWS, COLUMNS, OUT] = [2, 32, 301]

  it.each([
    [20, 8],
    [19, 8],
    [1, 151],
  ])('shouldComputeEveryOutputOnAGridOf %d by %d', async (across, deep) => {
    const device = variant === 'row' ? await openDevice() : await openBestDevice()
    const options = { variant, dtype: 'f32', unaligned: false, epilogue: undefined } as const
    const kernel = await new Pipelines(device).matmul(options)
    const shape = { rows: ROWS, columns: COLUMNS, out: OUT, outputStride: OUT, mostSlices: 1 }
    const { constants, grid } = matmulDispatch(MATMULS[variant], 'f32', shape)
    expect(grid).toEqual([151, ROWS, 1])
    const random = new Random(14)
    const values = (count: number) => Float32Array.from(random.values(count, 1))
    const bound = [values(ROWS * COLUMNS), values(OUT * COLUMNS), values(1), new Float32Array(ROWS * OUT)]
    const inLine = await dispatch(device, kernel, constants, grid, bound, 4)
    expect(inLine.every((value) => value !== 0)).toBe(true)
    expect(await dispatch(device, kernel, constants, [across, ROWS, deep], bound, 4)).toEqual(inLine)
  })
})
