import type { Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { ResultMemory } from './result-memory'
import type { RunEncoding, RunKernels, RunSpan } from './run-encoding'
import { type RunShape, type TailProgram, uniformBytes } from './tail-program'
import type { UnitBuffers } from './unit-buffers'
import { allocateWorkspace, type Workspace, workspaceTokens } from './workspace'

/** Operations a second that a device is given credit for before it has run anything. */
const ASSUMED_SPEED = 2e11

/** A submit longer than this may be taken for a hang by the system's watchdog. */
const SLICE_SECONDS = 0.05

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
  #uniforms: GPUBuffer
  #workspace: { readonly tokens: number; readonly buffers: Workspace } | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #speed = ASSUMED_SPEED
  /** When the last answer came. */
  #answered = 0

  /**
   * @param mostTokens of one run, unless a single sequence is longer
   * @param unit the buffers of an attached unit
   */
  constructor(
    private readonly program: TailProgram,
    private readonly mostTokens: number,
    private readonly unit: (name: string) => UnitBuffers,
  ) {
    this.#manifest = program.manifest
    this.#device = program.pipelines.device
    this.#results = new ResultMemory(this.#device)
    this.#uniforms = this.#uniformSlots(program.mostDispatches)
  }

  /** Constants of the run that is being recorded. */
  get uniforms(): GPUBuffer {
    return this.#uniforms
  }

  /** Of the run that is being recorded. */
  get workspace(): Workspace {
    if (this.#workspace === undefined) {
      throw new SplitComputeError('device_lost', 'The engine was destroyed.')
    }
    return this.#workspace.buffers
  }

  /**
   * Takes its turn to submit the spans, then waits for the results.
   *
   * @param size bytes of the results
   * @param finish told of each span when its layers are recorded; gives the rows of its output to copy to the results
   * @param moreDispatches that `finish` records beyond a pooling
   */
  async run(
    spans: readonly RunSpan[],
    size: number,
    signal: AbortSignal,
    finish: (results: GPUBuffer, encoding: RunEncoding, i: number) => readonly CopiedRows[],
    moreDispatches = 0,
  ): Promise<Float32Array> {
    const turn = this.#turn.then(async () => {
      signal.throwIfAborted()
      const workspace = await this.#room(Math.max(...spans.map(tokensOf)), moreDispatches)
      const kernels: RunKernels[] = []
      for (const span of spans) {
        kernels.push(await this.program.kernels(shapeOf(span)))
      }
      const buffers = await this.#results.take(size)
      const errors = this.#validated(() => {
        signal.throwIfAborted()
        for (const [i, span] of spans.entries()) {
          const encoders = this.#encode(
            span,
            kernels[i] as RunKernels,
            workspace,
            buffers.results,
            (encoding) => finish(buffers.results, encoding, i),
          )
          if (i === spans.length - 1) {
            encoders.at(-1)?.copyBufferToBuffer(buffers.results, 0, buffers.readback, 0, size)
          }
          for (const encoder of encoders) {
            this.#device.queue.submit([encoder.finish()])
          }
        }
      })
      return { buffers, errors }
    })
    this.#turn = turn.catch(() => undefined)
    const { buffers, errors } = await turn
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
      this.#learnSpeed(spans, Math.max(began, this.#answered))
      this.#answered = performance.now()
      return new Float32Array(readback.getMappedRange(0, size).slice(0))
    } catch (cause) {
      if (cause instanceof SplitComputeError || signal.aborted) {
        throw cause
      }
      throw new SplitComputeError('device_lost', 'The GPU was lost during the run.', { cause })
    } finally {
      if (readback.mapState === 'mapped') {
        readback.unmap()
      }
      this.#results.give(buffers)
    }
  }

  destroy(): void {
    this.#destroyWorkspace()
    this.#results.destroy()
    this.#uniforms.destroy()
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
  ): GPUCommandEncoder[] {
    const device = this.#device
    const seconds = this.#operations(span) / Math.max(1, span.to - span.from) / this.#speed
    const encoding = this.program.encode(span, kernels, {
      unit: this.unit,
      workspace,
      uniforms: this.#uniforms,
      sliceLayers: Math.max(1, Math.floor(SLICE_SECONDS / seconds)),
    })
    const copied = finish(encoding)
    const encoders = encoding.recording.encode(device, this.#uniforms)
    const rowBytes = this.program.resultStride('none') * 4
    for (const { from, rows, to } of copied) {
      encoders
        .at(-1)
        ?.copyBufferToBuffer(encoding.output, from * rowBytes, results, to * rowBytes, rows * rowBytes)
    }
    return encoders
  }

  /** Multiplications and additions of a span's matmuls. */
  #operations(span: RunSpan): number {
    const { hiddenSize: h, layer } = this.#manifest
    return 2 * tokensOf(span) * (span.to - span.from) * (4 * h * h + 2 * h * layer.mlp.innerSize)
  }

  #learnSpeed(spans: readonly RunSpan[], began: number): void {
    const operations = spans.reduce((sum, span) => sum + this.#operations(span), 0)
    if (operations > 0) {
      const speed = operations / ((performance.now() - began) / 1_000 + 1e-6)
      this.#speed = (this.#speed + speed) / 2
    }
  }

  #uniformSlots(dispatches: number): GPUBuffer {
    return this.#device.createBuffer({
      label: 'uniforms',
      size: uniformBytes(dispatches),
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    })
  }

  async #room(tokens: number, moreDispatches: number): Promise<Workspace> {
    const dispatches = this.program.mostDispatches + moreDispatches
    if (this.#uniforms.size < uniformBytes(dispatches)) {
      this.#uniforms.destroy()
      this.#uniforms = this.#uniformSlots(dispatches)
      this.program.groups.clear()
    }
    if (this.#workspace === undefined || this.#workspace.tokens < tokens) {
      this.#destroyWorkspace()
      const room = workspaceTokens(tokens, this.mostTokens)
      this.#workspace = { tokens: room, buffers: await allocateWorkspace(this.#device, this.#manifest, room) }
      this.program.groups.clear()
    }
    return this.#workspace.buffers
  }

  #destroyWorkspace(): void {
    for (const buffer of Object.values(this.#workspace?.buffers ?? {})) {
      buffer.destroy()
    }
    this.#workspace = undefined
  }
}

function shapeOf(span: RunSpan): RunShape {
  const { lengths, input, from, to, cached, forced } = span
  return {
    rows: tokensOf(span),
    longest: Math.max(...lengths),
    inputs: [input instanceof Int32Array ? 'tokens' : input.dtype],
    layers: from < to,
    cached: cached !== undefined,
    ...(forced === undefined ? {} : { forced }),
  }
}

function tokensOf({ lengths }: RunSpan): number {
  return lengths.reduce((sum, length) => sum + length, 0)
}
