import type { Dtype } from '../../../src/client/manifest'
import { DATA_FILE, type Element, OnnxGraph } from '../onnx/graph'
import { type LinearOperator, layersGraph } from '../onnx/layers'
import { randomBytes, randomFloats, randomHalves } from '../random-data'
import { type Case, DISTINCT_LAYERS } from '../shapes'
import type { Engine, Passes } from './engine'

type Ort = typeof import('onnxruntime-web/webgpu')

/** @param wasm the bytes of its WebAssembly, where the page or process does not let it fetch them */
export function onnxruntimeWeb(wasm: () => Promise<ArrayBuffer | undefined>, linear: LinearOperator): Engine {
  return {
    name: linear === 'MatMul' ? 'onnxruntime-web' : 'onnxruntime-web-gemm',
    dtypes: linear === 'MatMul' ? ['f32', 'f16', 'q8', 'q4'] : ['f32', 'f16'],
    works: ['layers'],
    lacks: (_, dtype, adapter) =>
      dtype === 'f16' && !adapter.features.has('shader-f16')
        ? 'onnxruntime has f16 only with shader-f16, which this adapter does not offer'
        : undefined,
    load: async (shape, dtype) => {
      const ort = await loadOrt(wasm)
      const element: Element = dtype === 'f16' ? 'f16' : 'f32'
      const weights = randomWeights(layersGraph({ shape, dtype, tokens: 1 }, element, linear), dtype)
      return {
        enter: (tokens) => enter(ort, { shape, dtype, tokens }, linear, weights),
        close: async () => undefined,
      }
    },
  }
}

/**
 * Under Dawn for Node about one session in eight loses the handle of a buffer within its first runs ("gpuBufferMetadata"), and the next
 * one with the same model runs.
 */
const SESSIONS = 3
const TRIAL_RUNS = 4

async function enter(
  ort: Ort,
  wanted: Case,
  linear: LinearOperator,
  weights: Uint8Array<ArrayBuffer>,
): Promise<OrtPasses> {
  for (let left = SESSIONS - 1; ; left--) {
    const passes = await OrtPasses.create(ort, wanted, linear, weights)
    try {
      await passes.queue(TRIAL_RUNS)
      return passes
    } catch (error) {
      await passes.leave()
      if (left === 0) {
        throw error
      }
    }
  }
}

let loaded: Promise<Ort> | undefined

function loadOrt(wasm: () => Promise<ArrayBuffer | undefined>): Promise<Ort> {
  loaded ??= startOrt(wasm)
  return loaded
}

async function startOrt(wasm: () => Promise<ArrayBuffer | undefined>): Promise<Ort> {
  const ort: Ort = await import('onnxruntime-web/webgpu')
  const binary = await wasm()
  if (binary !== undefined) {
    ort.env.wasm.wasmBinary = binary
  }
  ort.env.wasm.numThreads = 1
  ort.env.logLevel = 'error'
  // It ends its device with the last session, and what comes then meets freed buffers: this session stays.
  const graph = new OnnxGraph()
  const x = graph.input('x', 'f32', [4])
  graph.output(graph.node('Add', [x, x], 1)[0] ?? '', 'f32', [4])
  await ort.InferenceSession.create(graph.finish(), { executionProviders: [{ name: 'webgpu' }] })
  return ort
}

class OrtPasses implements Passes {
  readonly queuedLayers = DISTINCT_LAYERS
  readonly aloneLayers = DISTINCT_LAYERS

  private constructor(
    readonly device: GPUDevice,
    private readonly session: Session,
    private readonly feeds: Record<string, GpuTensor>,
    private readonly fetches: Record<string, GpuTensor>,
    private readonly buffers: readonly GPUBuffer[],
  ) {}

  static async create(
    ort: Ort,
    wanted: Case,
    linear: LinearOperator,
    weights: Uint8Array<ArrayBuffer>,
  ): Promise<OrtPasses> {
    const element: Element = wanted.dtype === 'f16' ? 'f16' : 'f32'
    const graph = layersGraph(wanted, element, linear)
    const session = await ort.InferenceSession.create(graph.finish(), {
      // As a mere name the provider is not told to capture.
      executionProviders: [{ name: 'webgpu' }],
      enableGraphCapture: true,
      graphOptimizationLevel: 'all',
      externalData: [{ path: DATA_FILE, data: weights }],
    })
    const device = (await ort.env.webgpu.device) as GPUDevice
    const { tokens, shape } = wanted
    const rank2 = linear === 'Gemm'
    const dims = rank2 ? [tokens, shape.hiddenSize] : [1, tokens, shape.hiddenSize]
    const count = tokens * shape.hiddenSize
    const values = element === 'f16' ? randomHalves(count, -1) : randomFloats(count, 1)
    const size = Math.ceil(values.byteLength / 16) * 16
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
    const [input, output] = [device.createBuffer({ size, usage }), device.createBuffer({ size, usage })]
    device.queue.writeBuffer(input, 0, values)
    const dataType = element === 'f16' ? 'float16' : 'float32'
    const tensor = (buffer: GPUBuffer) => ort.Tensor.fromGpuBuffer(buffer, { dataType, dims })
    const [from = ''] = session.inputNames
    const [to = ''] = session.outputNames
    const buffers = [input, output]
    return new OrtPasses(device, session, { [from]: tensor(input) }, { [to]: tensor(output) }, buffers)
  }

  async queue(calls: number): Promise<void> {
    for (let i = 0; i < calls; i++) {
      await this.session.run(this.feeds, this.fetches)
    }
    await this.device.queue.onSubmittedWorkDone()
  }

  alone(): Promise<void> {
    return this.queue(1)
  }

  async leave(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone()
    await this.session.release()
    for (const buffer of this.buffers) {
      buffer.destroy()
    }
  }
}

type Session = Awaited<ReturnType<Ort['InferenceSession']['create']>>
type GpuTensor = ReturnType<Ort['Tensor']['fromGpuBuffer']>

function randomWeights(graph: OnnxGraph, dtype: Dtype): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(graph.dataBytes)
  for (const { name, element, offset, bytes } of graph.external) {
    data.set(randomTensor(name, element, bytes, dtype), offset)
  }
  return data
}

function randomTensor(name: string, element: Element, bytes: number, dtype: Dtype): Uint8Array {
  const scales = name.endsWith('.scales')
  const around = name.endsWith('norm.weight') ? 1 : 0
  if (element === 'f16') {
    return new Uint8Array(randomHalves(bytes / 2, around === 1 ? 0 : -6, around === 1).buffer)
  }
  if (element === 'f32') {
    const scale = scales ? (dtype === 'q4' ? 0.01 : 0.0005) : 0.05
    return new Uint8Array(randomFloats(bytes / 4, scale, around).buffer)
  }
  return randomBytes(bytes)
}
