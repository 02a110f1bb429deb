import type { Array as JaxArray } from '@jax-js/jax'
import { randomFloats } from '../random-data'
import { DISTINCT_LAYERS, type LayerShape } from '../shapes'
import type { Engine, Passes } from './engine'

type Jax = typeof import('@jax-js/jax')
type Weights = Record<string, JaxArray>

export const jax: Engine = {
  name: 'jax-js',
  dtypes: ['f32'],
  works: ['layers'],
  lacks: () => undefined,
  load: async (shape) => {
    const library = await import('@jax-js/jax')
    const devices = await library.init('webgpu')
    if (!devices.includes('webgpu')) {
      throw new Error('jax-js found no WebGPU.')
    }
    library.defaultDevice('webgpu')
    const layers = Array.from({ length: DISTINCT_LAYERS }, () => randomLayer(library, shape))
    return {
      enter: async (tokens) => passes(library, shape, layers, tokens),
      close: async () => library.tree.dispose(layers),
    }
  },
}

function passes(library: Jax, shape: LayerShape, layers: Weights[], tokens: number): Passes {
  const device = library.getWebGPUDevice()
  const input = array(library, [tokens, shape.hiddenSize], 1)
  const layer = layerOf(library, shape, tokens)
  const forward = library.jit((x: JaxArray, weights: Weights[]) => weights.reduce(layer, x))
  const queue = async (calls: number) => {
    // Each call goes on from the last: what is disposed of before it was computed never is.
    let x = input.ref
    for (let i = 0; i < calls; i++) {
      x = forward(x, library.tree.ref(layers))
    }
    await x.blockUntilReady()
    x.dispose()
  }
  return {
    device,
    queuedLayers: DISTINCT_LAYERS,
    aloneLayers: DISTINCT_LAYERS,
    queue,
    alone: () => queue(1),
    leave: async () => {
      input.dispose()
      forward.dispose()
    },
  }
}

/** One layer: an array is spent by what takes it, so whatever is used again is referenced first. */
function layerOf(
  { nn, numpy: np }: Jax,
  shape: LayerShape,
  tokens: number,
): (x: JaxArray, w: Weights) => JaxArray {
  const { family, hiddenSize, heads } = shape
  const gpt2 = family === 'gpt2'
  const get = (w: Weights, name: string): JaxArray => {
    const value = w[name]
    if (value === undefined) {
      throw new Error(`There is no weight "${name}".`)
    }
    return value
  }
  const linear = (x: JaxArray, w: Weights, name: string) =>
    np.matmul(x, get(w, `${name}.weight`)).add(get(w, `${name}.bias`))
  const norm = (x: JaxArray, w: Weights, name: string) =>
    nn
      .standardize(x, -1, { epsilon: gpt2 ? 1e-5 : 1e-12 })
      .mul(get(w, `${name}.weight`))
      .add(get(w, `${name}.bias`))
  const attention = (x: JaxArray, w: Weights) => {
    const parts = np.split(linear(x, w, 'qkv'), 3, -1)
    const [q, k, v] = parts.map((part) => part.reshape([tokens, heads, hiddenSize / heads]))
    if (q === undefined || k === undefined || v === undefined) {
      throw new Error('There are no three parts.')
    }
    const attended = nn.dotProductAttention(q, k, v, { isCausal: gpt2 }).reshape([tokens, hiddenSize])
    return linear(attended, w, 'out')
  }
  const mlp = (x: JaxArray, w: Weights) =>
    linear(nn.gelu(linear(x, w, 'up'), { approximate: gpt2 }), w, 'down')
  if (gpt2) {
    return (x, w) => {
      const middle = x.ref.add(attention(norm(x, w, 'attention.norm'), w))
      return middle.ref.add(mlp(norm(middle, w, 'mlp.norm'), w))
    }
  }
  return (x, w) => {
    const middle = norm(x.ref.add(attention(x, w)), w, 'attention.norm')
    return norm(middle.ref.add(mlp(middle, w)), w, 'mlp.norm')
  }
}

function randomLayer(library: Jax, { hiddenSize: h, innerSize }: LayerShape): Weights {
  const linear = (name: string, columns: number, out: number) => ({
    [`${name}.weight`]: array(library, [columns, out], 0.05),
    [`${name}.bias`]: array(library, [out], 0.05),
  })
  const norm = (name: string) => ({
    [`${name}.weight`]: array(library, [h], 0.05, 1),
    [`${name}.bias`]: array(library, [h], 0.05),
  })
  return {
    ...norm('attention.norm'),
    ...linear('qkv', h, 3 * h),
    ...linear('out', h, h),
    ...norm('mlp.norm'),
    ...linear('up', h, innerSize),
    ...linear('down', innerSize, h),
  }
}

function array({ numpy }: Jax, shape: number[], scale: number, around = 0): JaxArray {
  const count = shape.reduce((product, size) => product * size, 1)
  return numpy.array(randomFloats(count, scale, around), { shape })
}
