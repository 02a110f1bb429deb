import * as torch from 'webgpu-torch'
import type { KernelSpec } from 'webgpu-torch/kernel'
import { registry } from 'webgpu-torch/kernels'
import { randomFloats } from '../random-data'
import { DISTINCT_LAYERS, type LayerShape } from '../shapes'
import type { Engine, Passes } from './engine'

type Tensor = torch.Tensor

/**
 * The engine of tanmaysachan/splitcompute, where this project's idea comes from. It runs GPT-2's block, one kernel after the other,
 * each in a submit of its own. The published library lacks what its block needs beyond `mm`, element-wise operations and sums, so
 * these kernels are added here in the library's own manner: a thread an output, or a thread a row.
 */
export const webgpuTorch: Engine = {
  name: 'webgpu-torch',
  dtypes: ['f32'],
  works: ['layers'],
  lacks: (shape) => (shape.family === 'gpt2' ? undefined : 'the origin has GPT-2 alone'),
  load: async (shape) => {
    Object.assign(registry, KERNELS)
    const found = console.log
    console.log = () => undefined
    try {
      if (!(await torch.initWebGPUAsync())) {
        throw new Error('webgpu-torch found no WebGPU.')
      }
    } finally {
      console.log = found
    }
    const layers = Array.from({ length: DISTINCT_LAYERS }, () => randomLayer(shape))
    return {
      enter: async (tokens) => new TorchPasses(shape, layers, tokens),
      close: async () => free(layers.flatMap((layer) => Object.values(layer))),
    }
  },
}

interface Layer {
  readonly [name: string]: Tensor
}

class TorchPasses implements Passes {
  readonly device: GPUDevice
  readonly queuedLayers = DISTINCT_LAYERS
  readonly aloneLayers = DISTINCT_LAYERS
  readonly #x: Tensor
  /** Every tensor since the last wait: the library frees none. */
  #made: Tensor[] = []

  constructor(
    private readonly shape: LayerShape,
    private readonly layers: readonly Layer[],
    private readonly tokens: number,
  ) {
    this.#x = random([tokens, shape.hiddenSize], 1)
    this.device = (this.#x.device as unknown as { gpuDevice: GPUDevice }).gpuDevice
  }

  async queue(calls: number): Promise<void> {
    for (let i = 0; i < calls; i++) {
      this.layers.reduce((x, layer) => this.#block(x, layer), this.#x)
    }
    await this.device.queue.onSubmittedWorkDone()
    free(this.#made.splice(0))
  }

  alone(): Promise<void> {
    return this.queue(1)
  }

  async leave(): Promise<void> {
    free([this.#x])
  }

  #block(x: Tensor, layer: Layer): Tensor {
    const { hiddenSize: h, innerSize } = this.shape
    const attended = this.#attention(this.#norm(x, layer, 'ln_1'), layer)
    const middle = this.#kernel('bench_add', x, { size: this.#size(h) }, this.#shape(h), attended)
    const inner = this.#linear(this.#norm(middle, layer, 'ln_2'), layer, 'c_fc', innerSize)
    const activated = this.#kernel(
      'bench_gelu',
      inner,
      { size: this.#size(innerSize) },
      this.#shape(innerSize),
    )
    const out = this.#linear(activated, layer, 'mlp.c_proj', h)
    return this.#kernel('bench_add', middle, { size: this.#size(h) }, this.#shape(h), out)
  }

  #attention(x: Tensor, layer: Layer): Tensor {
    const { tokens, shape } = this
    const { hiddenSize: h, heads } = shape
    const headSize = h / heads
    const qkv = this.#linear(x, layer, 'c_attn', 3 * h)
    const split = (part: number) =>
      this.#kernel('bench_split', qkv, { tokens, heads, headSize, part }, [heads, tokens, headSize])
    const [q, k, v] = [split(0), split(1), split(2)]
    const batch = (rows: number, columns: number, inner: number) => ({ batches: heads, rows, columns, inner })
    const products = this.#kernel(
      'bench_bmm',
      q,
      {
        ...batch(tokens, tokens, headSize),
        rowStride: 1,
        columnStride: headSize,
        scale: 1 / Math.sqrt(headSize),
      },
      [heads, tokens, tokens],
      k,
    )
    const masked = this.#kernel('bench_mask', products, { heads, tokens }, [heads, tokens, tokens])
    const weights = this.#kernel('bench_softmax', masked, { rows: heads * tokens, columns: tokens }, [
      heads,
      tokens,
      tokens,
    ])
    const attended = this.#kernel(
      'bench_bmm',
      weights,
      { ...batch(tokens, headSize, tokens), rowStride: headSize, columnStride: 1, scale: 1 },
      [heads, tokens, headSize],
      v,
    )
    const joined = this.#kernel('bench_join', attended, { tokens, heads, headSize }, this.#shape(h))
    return this.#linear(joined, layer, 'attn.c_proj', h)
  }

  #linear(x: Tensor, layer: Layer, name: string, out: number): Tensor {
    const product = this.#keep(torch.mm(x, weight(layer, `${name}.weight`)))
    const constants = { size: this.#size(out), columns: out }
    return this.#kernel('bench_bias', product, constants, this.#shape(out), weight(layer, `${name}.bias`))
  }

  #norm(x: Tensor, layer: Layer, name: string): Tensor {
    const { tokens, shape } = this
    const constants = { rows: tokens, columns: shape.hiddenSize }
    const statistics = this.#kernel('bench_statistics', x, constants, [tokens, 2])
    const scaled = { size: this.#size(shape.hiddenSize), columns: shape.hiddenSize }
    const normed = this.#kernel('bench_standardize', x, scaled, this.#shape(shape.hiddenSize), statistics)
    const [gamma, beta] = [weight(layer, `${name}.weight`), weight(layer, `${name}.bias`)]
    return this.#kernel('bench_affine', normed, scaled, this.#shape(shape.hiddenSize), gamma, beta)
  }

  #kernel(
    name: string,
    input: Tensor,
    constants: Record<string, number>,
    shape: number[],
    ...others: Tensor[]
  ): Tensor {
    const [output] = input.runKernel(name, { dtype: 'float32' }, constants, [shape], ...others)
    if (output === undefined) {
      throw new Error(`${name} gave nothing.`)
    }
    return this.#keep(output)
  }

  #keep(tensor: Tensor): Tensor {
    this.#made.push(tensor)
    return tensor
  }

  #size(columns: number): number {
    return this.tokens * columns
  }

  #shape(columns: number): number[] {
    return [this.tokens, columns]
  }
}

function free(tensors: readonly Tensor[]): void {
  for (const { storage } of tensors) {
    storage.destroy()
  }
}

function randomLayer({ hiddenSize: h, innerSize }: LayerShape): Layer {
  return {
    'ln_1.weight': random([h], 0.05, 1),
    'ln_1.bias': random([h], 0.05),
    'c_attn.weight': random([h, 3 * h], 0.05),
    'c_attn.bias': random([3 * h], 0.05),
    'attn.c_proj.weight': random([h, h], 0.05),
    'attn.c_proj.bias': random([h], 0.05),
    'ln_2.weight': random([h], 0.05, 1),
    'ln_2.bias': random([h], 0.05),
    'c_fc.weight': random([h, innerSize], 0.05),
    'c_fc.bias': random([innerSize], 0.05),
    'mlp.c_proj.weight': random([innerSize, h], 0.05),
    'mlp.c_proj.bias': random([h], 0.05),
  }
}

function weight(layer: Layer, name: string): Tensor {
  const tensor = layer[name]
  if (tensor === undefined) {
    throw new Error(`There is no weight "${name}".`)
  }
  return tensor
}

function random(shape: number[], scale: number, around = 0): Tensor {
  const count = shape.reduce((product, size) => product * size, 1)
  const tensor = torch.zeros(shape, 'float32', 'webgpu')
  tensor.storage.getTypedArray('float32').set(randomFloats(count, scale, around))
  return tensor
}

function kernel(
  name: string,
  inputs: readonly string[],
  parameters: readonly string[],
  size: string,
  shader: string,
  grid: Pick<KernelSpec, 'workgroupSize' | 'workgroupCount'>,
): KernelSpec {
  return {
    name,
    config: [{ name: 'dtype' }],
    parameters: parameters.map((parameter) => ({
      name: parameter,
      shaderType: parameter === 'scale' ? 'f32' : 'u32',
    })),
    inputs: inputs.map((input) => ({ name: input, shaderType: 'array<f32>' })),
    outputs: [{ name: 'result', shaderType: 'array<f32>', size }],
    ...grid,
    shader,
  }
}

/** A thread an element of the result; in four parts, for a dimension has at most 65,535 workgroups. */
function elementwise(
  name: string,
  inputs: readonly string[],
  parameters: readonly string[],
  size: string,
  body: string,
): KernelSpec {
  const guarded = `
    let quarter = (arrayLength(&result) + 3u) / 4u;
    let i = global_id.y * quarter + global_id.x;
    if (global_id.x >= quarter || i >= arrayLength(&result)) { return; }
    ${body}`
  return kernel(name, inputs, parameters, size, guarded, {
    workgroupSize: [256, 1, 1],
    workgroupCount: [`${size}/1024`, 4, 1],
  })
}

const SPECS: readonly KernelSpec[] = [
  elementwise('bench_add', ['a', 'b'], ['size'], 'size', 'result[i] = a[i] + b[i];'),
  elementwise(
    'bench_bias',
    ['a', 'bias'],
    ['size', 'columns'],
    'size',
    'result[i] = a[i] + bias[i % parameters.columns];',
  ),
  elementwise(
    'bench_affine',
    ['a', 'gamma', 'beta'],
    ['size', 'columns'],
    'size',
    'result[i] = a[i] * gamma[i % parameters.columns] + beta[i % parameters.columns];',
  ),
  elementwise(
    'bench_gelu',
    ['a'],
    ['size'],
    'size',
    `let x = a[i];
    let y = clamp(0.7978845608 * (x + 0.044715 * x * x * x), -9.01, 9.01);
    result[i] = 0.5 * x * (1.0 + tanh(y));`,
  ),
  elementwise(
    'bench_standardize',
    ['a', 'statistics'],
    ['size', 'columns'],
    'size',
    `let row = i / parameters.columns;
    result[i] = (a[i] - statistics[2u * row]) / statistics[2u * row + 1u];`,
  ),
  elementwise(
    'bench_split',
    ['qkv'],
    ['tokens', 'heads', 'headSize', 'part'],
    'tokens * heads * headSize',
    `let column = i % parameters.headSize;
    let token = i / parameters.headSize % parameters.tokens;
    let head = i / parameters.headSize / parameters.tokens;
    let hidden = parameters.heads * parameters.headSize;
    result[i] = qkv[(token * 3u + parameters.part) * hidden + head * parameters.headSize + column];`,
  ),
  elementwise(
    'bench_join',
    ['a'],
    ['tokens', 'heads', 'headSize'],
    'tokens * heads * headSize',
    `let column = i % parameters.headSize;
    let head = i / parameters.headSize % parameters.heads;
    let token = i / parameters.headSize / parameters.heads;
    result[i] = a[(head * parameters.tokens + token) * parameters.headSize + column];`,
  ),
  elementwise(
    'bench_mask',
    ['a'],
    ['heads', 'tokens'],
    'heads * tokens * tokens',
    `let key = i % parameters.tokens;
    let query = i / parameters.tokens % parameters.tokens;
    result[i] = select(a[i], -1e9, key > query);`,
  ),
  kernel(
    'bench_statistics',
    ['a'],
    ['rows', 'columns'],
    'rows * 2',
    `
    let row = global_id.x;
    if (row >= parameters.rows) { return; }
    var mean = 0.0;
    for (var j = 0u; j < parameters.columns; j = j + 1u) { mean = mean + a[row * parameters.columns + j]; }
    mean = mean / f32(parameters.columns);
    var variance = 0.0;
    for (var j = 0u; j < parameters.columns; j = j + 1u) {
      let d = a[row * parameters.columns + j] - mean;
      variance = variance + d * d;
    }
    result[2u * row] = mean;
    result[2u * row + 1u] = sqrt(variance / f32(parameters.columns) + 1e-5);`,
    { workgroupSize: [64, 1, 1], workgroupCount: ['rows/64', 1, 1] },
  ),
  kernel(
    'bench_softmax',
    ['a'],
    ['rows', 'columns'],
    'rows * columns',
    `
    let row = global_id.x;
    if (row >= parameters.rows) { return; }
    let first = row * parameters.columns;
    var most = a[first];
    for (var j = 1u; j < parameters.columns; j = j + 1u) { most = max(most, a[first + j]); }
    var sum = 0.0;
    for (var j = 0u; j < parameters.columns; j = j + 1u) { sum = sum + exp(a[first + j] - most); }
    for (var j = 0u; j < parameters.columns; j = j + 1u) { result[first + j] = exp(a[first + j] - most) / sum; }`,
    { workgroupSize: [64, 1, 1], workgroupCount: ['rows/64', 1, 1] },
  ),
  kernel(
    'bench_bmm',
    ['a', 'b'],
    ['batches', 'rows', 'columns', 'inner', 'rowStride', 'columnStride', 'scale'],
    'batches * rows * columns',
    `
    let row = global_id.x;
    let column = global_id.y;
    let batch = global_id.z;
    if (row >= parameters.rows || column >= parameters.columns || batch >= parameters.batches) { return; }
    var sum = 0.0;
    let first = batch * parameters.inner * parameters.columns + column * parameters.columnStride;
    for (var j = 0u; j < parameters.inner; j = j + 1u) {
      sum = sum + a[(batch * parameters.rows + row) * parameters.inner + j] * b[first + j * parameters.rowStride];
    }
    result[(batch * parameters.rows + row) * parameters.columns + column] = sum * parameters.scale;`,
    { workgroupSize: [8, 8, 4], workgroupCount: ['rows/8', 'columns/8', 'batches/4'] },
  ),
]

const KERNELS = Object.fromEntries(SPECS.map((spec) => [spec.name, spec]))
