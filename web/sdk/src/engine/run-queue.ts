import type { Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { allocate, failureOf } from './gpu'
import { type ResultBuffers, ResultMemory } from './result-memory'
import type { RunEncoding, RunKernels, RunSpan } from './run-encoding'
import { type RunShape, type TailProgram, uniformBytes } from './tail-program'
import type { UnitBuffers } from './unit-buffers'
import { allocateWorkspace, type Workspace, workspaceTokens } from './workspace'

/** Operations a second that a device is given credit for before it has run anything. */
const ASSUMED_SPEED = 2e11

/** A submit longer than this may be taken for a hang by the system's watchdog. */
const SLICE_SECONDS = 0.05

/** A run that is over sooner does not lower the speed. */
const LEAST_SECONDS = 0.01

/** Rows of a run's output, and where they go in the results. */
export interface CopiedRows {
  readonly from: number
  readonly rows: number
  readonly to: number
}

/** Submits runs one after the other: they share the workspace, and the GPU's queue keeps their order without a pause. */
export class RunQueue {
  readonly #manifest: Manifest
  readonly #device: GPUDevice
  readonly #results: ResultMemory
  #uniforms: GPUBuffer | undefined
  #workspace: { readonly tokens: number; readonly buffers: Workspace } | undefined
  #destroyed = false
  #turn: Promise<unknown> = Promise.resolve()
  #speed: number
  /** When the last answer came. */
  #answered = 0

  /**
   * @param mostTokens of one run, unless a single sequence is longer
   * @param unit the buffers of an attached unit
   * @param speed operations a second that the device is given credit for before it has run anything
   */
  constructor(
    private readonly program: TailProgram,
    private readonly mostTokens: number,
    private readonly unit: (name: string) => UnitBuffers,
    speed = ASSUMED_SPEED,
  ) {
    this.#manifest = program.manifest
    this.#device = program.pipelines.device
    this.#results = new ResultMemory(this.#device)
    this.#speed = speed
  }

  /** Constants of the run that is being recorded. */
  get uniforms(): GPUBuffer {
    return this.#there(this.#uniforms)
  }

  /** Of the run that is being recorded. */
  get workspace(): Workspace {
    return this.#there(this.#workspace).buffers
  }

  /**
   * Takes its turn to submit the spans, then waits for the results. Kernels that are not compiled yet are waited for before: runs
   * that have theirs go first.
   *
   * @param size bytes of the results
   * @param finish told of each span when its layers are recorded; gives the rows of its output to copy to the results
   * @param moreDispatches that `finish` records beyond a pooling
   * @throws SplitComputeError `device_lost`, `out_of_memory`, `limit_exceeded`, `canary_failed` where a kernel does not compile,
   *   `wrong_result`; the signal's reason once it aborts
   */
  async run(
    spans: readonly RunSpan[],
    size: number,
    signal: AbortSignal,
    finish: (results: GPUBuffer, encoding: RunEncoding, i: number) => readonly CopiedRows[],
    moreDispatches = 0,
  ): Promise<Float32Array> {
    try {
      const kernels = await Promise.all(spans.map((span) => this.program.kernels(shapeOf(span))))
      const turn = this.#turn.then(async () => {
        signal.throwIfAborted()
        const workspace = await this.#room(Math.max(...spans.map(tokensOf)), moreDispatches)
        const buffers = await this.#results.take(size)
        let operations = 0
        const errors = this.#validated(() => {
          signal.throwIfAborted()
          for (const [i, span] of spans.entries()) {
            const recorded = this.#encode(
              span,
              kernels[i] as RunKernels,
              workspace,
              buffers.results,
              (encoding) => finish(buffers.results, encoding, i),
            )
            operations += recorded.operations
            if (i === spans.length - 1) {
              recorded.encoders.at(-1)?.copyBufferToBuffer(buffers.results, 0, buffers.readback, 0, size)
            }
            for (const encoder of recorded.encoders) {
              this.#device.queue.submit([encoder.finish()])
            }
          }
        })
        return { buffers, errors, operations }
      })
      this.#turn = turn.catch(() => undefined)
      const { buffers, errors, operations } = await turn
      return await this.#read(buffers, size, errors, operations, signal)
    } catch (cause) {
      signal.throwIfAborted()
      throw await failureOf(this.#device, cause)
    }
  }

  destroy(): void {
    this.#destroyed = true
    this.#destroyWorkspace()
    this.#results.destroy()
    this.#uniforms?.destroy()
    this.#uniforms = undefined
  }

  /** Waits for what was submitted. */
  async #read(
    buffers: ResultBuffers,
    size: number,
    errors: Promise<GPUError | undefined>,
    operations: number,
    signal: AbortSignal,
  ): Promise<Float32Array> {
    const { readback } = buffers
    const began = performance.now()
    try {
      const [error] = await Promise.all([errors, readback.mapAsync(GPUMapMode.READ, 0, size)])
      if (error !== undefined) {
        const code = error instanceof GPUOutOfMemoryError ? 'out_of_memory' : 'limit_exceeded'
        throw new SplitComputeError(code, `The GPU refused the work: ${error.message}`)
      }
      signal.throwIfAborted()
      // Behind others a batch has waited for them first.
      this.#learnSpeed(operations, Math.max(began, this.#answered))
      this.#answered = performance.now()
      return new Float32Array(readback.getMappedRange(0, size).slice(0))
    } finally {
      if (readback.mapState === 'mapped') {
        readback.unmap()
      }
      this.#results.give(buffers)
    }
  }

  /** The first error of `work`: a dispatch that fails validation writes nothing, and zeros would pass as an answer. */
  async #validated(work: () => void): Promise<GPUError | undefined> {
    const device = this.#device
    device.pushErrorScope('validation')
    device.pushErrorScope('out-of-memory')
    let scopes: Promise<(GPUError | null)[]>
    try {
      work()
    } finally {
      scopes = Promise.all([device.popErrorScope(), device.popErrorScope()])
      // Nobody awaits them where `work` throws.
      scopes.catch(() => undefined)
    }
    return (await scopes).find((error) => error !== null) ?? undefined
  }

  /** Writes a span's inputs, and records it: an encoder for each of its submits. */
  #encode(
    span: RunSpan,
    kernels: RunKernels,
    workspace: Workspace,
    results: GPUBuffer,
    finish: (encoding: RunEncoding) => readonly CopiedRows[],
  ): { readonly encoders: readonly GPUCommandEncoder[]; readonly operations: number } {
    const { uniforms } = this
    const encoding = this.program.encode(span, kernels, {
      unit: this.unit,
      workspace,
      uniforms,
      sliceOperations: SLICE_SECONDS * this.#speed,
    })
    const copied = finish(encoding)
    const encoders = encoding.recording.encode(this.#device, uniforms)
    const rowBytes = this.program.resultStride('none') * 4
    for (const { from, rows, to } of copied) {
      encoders
        .at(-1)
        ?.copyBufferToBuffer(encoding.output, from * rowBytes, results, to * rowBytes, rows * rowBytes)
    }
    return { encoders, operations: encoding.recording.operations }
  }

  #learnSpeed(operations: number, began: number): void {
    const seconds = (performance.now() - began) / 1_000 + 1e-6
    const speed = operations / seconds
    // A short run was mostly on its way to the GPU and back: it is no sign of a slow one.
    if (seconds >= LEAST_SECONDS || speed > this.#speed) {
      this.#speed = (this.#speed + speed) / 2
    }
  }

  async #room(tokens: number, moreDispatches: number): Promise<Workspace> {
    const bytes = uniformBytes(this.program.mostDispatches + moreDispatches)
    if (this.#uniforms === undefined || this.#uniforms.size < bytes) {
      this.#uniforms?.destroy()
      this.#uniforms = undefined
      const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST
      const [uniforms] = await allocate(this.#device, [{ label: 'uniforms', size: bytes, usage }])
      this.#uniforms = uniforms
      this.program.groups.clear()
    }
    if (this.#workspace === undefined || this.#workspace.tokens < tokens) {
      this.#destroyWorkspace()
      const room = workspaceTokens(tokens, this.mostTokens)
      this.#workspace = { tokens: room, buffers: await allocateWorkspace(this.#device, this.#manifest, room) }
      this.program.groups.clear()
    }
    if (this.#destroyed) {
      // What was being allocated meanwhile goes as well.
      this.destroy()
    }
    return this.workspace
  }

  #there<T>(buffers: T | undefined): T {
    if (buffers === undefined) {
      throw new SplitComputeError('device_lost', 'The engine was destroyed.')
    }
    return buffers
  }

  #destroyWorkspace(): void {
    for (const buffer of Object.values(this.#workspace?.buffers ?? {})) {
      buffer.destroy()
    }
    this.#workspace = undefined
  }
}

function shapeOf(span: RunSpan): RunShape {
  const { lengths, input, from, to, cached, pooled = false, forced } = span
  return {
    rows: tokensOf(span),
    longest: Math.max(...lengths),
    inputs: [input instanceof Int32Array ? 'tokens' : input.dtype],
    layers: from < to,
    cached: cached !== undefined,
    pooled,
    ...(forced === undefined ? {} : { forced }),
  }
}

function tokensOf({ lengths }: RunSpan): number {
  return lengths.reduce((sum, length) => sum + length, 0)
}
