import { type LogitsWorkspace, logitStride, MOST_TOP, SORTED } from './logits-memory'
import { matmulDispatch } from './matmul-dispatch'
import type { Kernel } from './pipelines'
import type { Grid } from './recording'
import type { RunEncoding } from './run-encoding'
import type { TailProgram } from './tail-program'
import type { UnitBuffers } from './unit-buffers'
import type { MatmulVariant } from './variants'
import { rowStride, type Workspace } from './workspace'

/** Operations on a score that it takes to sort a run of them: each of 45 steps compares and swaps. */
const SORT_OPERATIONS = 90

export interface LogitsKernels {
  readonly matmul: MatmulVariant
  readonly linear: Kernel
  readonly gather: Kernel
  readonly firstTop: Kernel
  readonly nextTop: Kernel
}

export interface LogitsTarget {
  readonly unit: () => UnitBuffers
  readonly workspace: LogitsWorkspace
  /** Of the run; holds the rows that are asked for. */
  readonly runWorkspace: () => Workspace
  readonly uniforms: () => GPUBuffer
}

/** What a step gives for each row that is asked for: all logits, or the `k` highest with their tokens. */
export type Wanted = { readonly kind: 'logits' } | { readonly kind: 'top'; readonly k: number }

/** The output matrix behind a run, and the choice among its logits. */
export class LogitsEncoding {
  constructor(
    private readonly program: TailProgram,
    private readonly kernels: LogitsKernels,
    private readonly target: LogitsTarget,
  ) {}

  /** Dispatches that so many rows take at most. */
  dispatches(rows: number): number {
    const rounds = Math.ceil(rows / this.target.workspace.rows)
    return rounds * (1 + this.target.unit().pieces('weight').length + this.#topSteps(MOST_TOP).length)
  }

  /**
   * Records the logits of rows of a run's output.
   *
   * @param chosen rows of the run
   * @param results rows of `logitStride` floats, or of `k` pairs of float and token id
   * @param firstResult row of `results` for the first of `chosen`
   */
  encode(
    encoding: RunEncoding,
    chosen: readonly number[],
    wanted: Wanted,
    results: GPUBuffer,
    firstResult: number,
  ): void {
    const { workspace } = this.target
    const { device } = this.program.pipelines
    const inOrder = chosen.length <= workspace.rows && chosen.every((row, i) => row === i)
    if (!inOrder) {
      device.queue.writeBuffer(this.target.runWorkspace().chosen, 0, new Uint32Array(chosen))
    }
    for (let first = 0; first < chosen.length; first += workspace.rows) {
      const rows = Math.min(workspace.rows, chosen.length - first)
      const input = inOrder ? encoding.output : this.#gather(encoding, first, rows)
      const stride = logitStride(this.program.manifest) * 4
      const offset = (firstResult + first) * stride
      const output =
        wanted.kind === 'logits'
          ? { buffer: results, offset, size: rows * stride }
          : { buffer: workspace.logits }
      this.#multiply(encoding, input, rows, output)
      if (wanted.kind === 'top') {
        this.#top(encoding, rows, wanted.k, results, firstResult + first)
      }
    }
  }

  #gather(encoding: RunEncoding, first: number, rows: number): GPUBuffer {
    const { workspace, runWorkspace } = this.target
    const constants = [rowStride(this.program.manifest.hiddenSize) / 4, first]
    const bound = [runWorkspace().chosen, encoding.output, workspace.gathered]
    this.#add(
      encoding,
      this.kernels.gather,
      bound,
      constants,
      [rows],
      rows * this.program.manifest.hiddenSize,
    )
    return workspace.gathered
  }

  /** logits = rows x weight^T, piece after piece of the weight's rows. */
  #multiply(encoding: RunEncoding, input: GPUBuffer, rows: number, output: GPUBufferBinding): void {
    const { dtype, manifest } = this.program
    const { linear, matmul } = this.kernels
    const unit = this.target.unit()
    const scales = unit.pieces('weight.scales')
    for (const [i, { binding, firstRow, rows: out }] of unit.pieces('weight').entries()) {
      const { constants, grid } = matmulDispatch(matmul, dtype, {
        rows,
        columns: manifest.hiddenSize,
        out,
        outputStride: logitStride(manifest),
        firstColumn: firstRow,
        mostSlices: 1,
      })
      const scaled = scales[i] === undefined ? [] : [scales[i].binding]
      // There is no bias; whatever is bound in its place is not read.
      const bound = [input, binding, binding, output, ...scaled]
      this.#add(encoding, linear, bound, constants, grid, 2 * rows * manifest.hiddenSize * out)
    }
  }

  #top(encoding: RunEncoding, rows: number, k: number, results: GPUBuffer, firstResult: number): void {
    const { candidates, logits } = this.target.workspace
    let input = { buffer: logits, stride: logitStride(this.program.manifest) }
    for (const [i, { count, runs }] of this.#topSteps(k).entries()) {
      const last = runs === 1
      const output = last ? results : (candidates[i % 2] as GPUBuffer)
      const constants = [count, input.stride, k, runs * k, last ? firstResult : 0]
      const kernel = i === 0 ? this.kernels.firstTop : this.kernels.nextTop
      const operations = rows * runs * SORTED * SORT_OPERATIONS
      this.#add(encoding, kernel, [input.buffer, output], constants, [runs, rows], operations)
      input = { buffer: output, stride: 2 * runs * k }
    }
  }

  /** Scores of a row that each step of `top` takes, and the runs that it sorts them in. */
  #topSteps(k: number): { count: number; runs: number }[] {
    const steps: { count: number; runs: number }[] = []
    for (let count = this.program.manifest.vocabularySize; ; ) {
      const runs = Math.ceil(count / SORTED)
      steps.push({ count, runs })
      if (runs === 1) {
        return steps
      }
      count = runs * k
    }
  }

  #add(
    encoding: RunEncoding,
    kernel: Kernel,
    resources: readonly (GPUBuffer | GPUBufferBinding)[],
    constants: readonly number[],
    grid: Grid,
    operations: number,
  ): void {
    const group = this.program.groups.create(kernel, this.target.uniforms(), resources)
    encoding.recording.add(kernel, group, constants, grid, operations)
  }
}
