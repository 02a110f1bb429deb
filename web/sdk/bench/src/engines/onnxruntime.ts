import type { Dtype } from '../../../src/client/manifest'
import { DATA_FILE, type Element, OnnxGraph } from '../onnx/graph'
import { type LinearOperator, layersGraph, modelGraph } from '../onnx/layers'
import { randomBytes, randomFloats, randomHalves, randomTokens } from '../random-data'
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
      const weights = randomWeights(graphOf({ shape, dtype, tokens: 1 }, linear), dtype)
      return {
        enter: (tokens) => enter(ort, { shape, dtype, tokens }, linear, weights),
        close: async () => undefined,
      }
    },
    loadModel: async (shape, dtype) => {
      const ort = await loadOrt(wasm)
      const weights = randomWeights(graphOf({ shape, dtype, tokens: 1, texts: 1 }, linear), dtype)
      return {
        enter: (tokens, texts) => enter(ort, { shape, dtype, tokens, texts }, linear, weights),
        close: async () => undefined,
      }
    },
  }
}

/** Of activations, and of weights that are not quantised. */
function elementOf({ dtype }: Case): 'f16' | 'f32' {
  return dtype === 'f16' ? 'f16' : 'f32'
}

function graphOf(wanted: Case, linear: LinearOperator): OnnxGraph {
  const build = wanted.texts === undefined ? layersGraph : modelGraph
  return build(wanted, elementOf(wanted), linear)
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
  private constructor(
    readonly device: GPUDevice,
    readonly queuedLayers: number,
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
    const session = await ort.InferenceSession.create(graphOf(wanted, linear).finish(), {
      // As a mere name the provider is not told to capture.
      executionProviders: [{ name: 'webgpu' }],
      enableGraphCapture: true,
      graphOptimizationLevel: 'all',
      externalData: [{ path: DATA_FILE, data: weights }],
    })
    const device = (await ort.env.webgpu.device) as GPUDevice
    const { input, output } = feeds(wanted, linear)
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
    const [from, to] = [input, output].map(({ values }) =>
      device.createBuffer({ size: Math.ceil(values.byteLength / 16) * 16, usage }),
    ) as [GPUBuffer, GPUBuffer]
    device.queue.writeBuffer(from, 0, input.values)
    const tensor = (buffer: GPUBuffer, { dataType, dims }: Feed) =>
      ort.Tensor.fromGpuBuffer(buffer, { dataType, dims })
    const [inputName = ''] = session.inputNames
    const [outputName = ''] = session.outputNames
    return new OrtPasses(
      device,
      wanted.texts === undefined ? DISTINCT_LAYERS : wanted.shape.layers,
      session,
      { [inputName]: tensor(from, input) },
      { [outputName]: tensor(to, output) },
      [from, to],
    )
  }

  get aloneLayers(): number {
    return this.queuedLayers
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

interface Feed {
  readonly dataType: 'float32' | 'float16' | 'int32'
  readonly dims: readonly number[]
  readonly values: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int32Array<ArrayBuffer>
}

/** What a call is given, and what has the size of its answer. */
function feeds(wanted: Case, linear: LinearOperator): { input: Feed; output: Feed } {
  const { shape, tokens, texts } = wanted
  const floats = (dims: readonly number[]): Feed => {
    const count = dims.reduce((product, dim) => product * dim, 1)
    return elementOf(wanted) === 'f16'
      ? { dataType: 'float16', dims, values: randomHalves(count, -1) }
      : { dataType: 'float32', dims, values: randomFloats(count, 1) }
  }
  if (texts === undefined) {
    const rows = floats(linear === 'Gemm' ? [tokens, shape.hiddenSize] : [1, tokens, shape.hiddenSize])
    return { input: rows, output: rows }
  }
  const ids = randomTokens(texts * tokens, shape.vocabularySize)
  return {
    input: { dataType: 'int32', dims: [texts, tokens], values: ids },
    output: floats([texts, shape.hiddenSize]),
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
