import type { Dtype, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { readSafetensorsHeader, type SafetensorsHeader, type Tensor } from './safetensors'

/** Every tensor of a shard starts at a multiple of this, so that a GPU can bind it where it lies. */
export const ALIGNMENT = 256

const FORMAT = 'splitcompute.shard/1'

/** A tensor that `weights/FORMAT.md` wants in a unit. */
export interface ExpectedTensor {
  readonly name: string
  readonly dtype: 'F32' | 'F16' | 'I8' | 'U8'
  readonly shape: readonly number[]
  /** True columns of a linear weight, whose rows may be padded. */
  readonly in?: number
}

/** Consecutive columns of a row that share a scale in `q8` and `q4`. */
export const BLOCK = 32

const QUANTS = { f32: 'F32', f16: 'F16', q8: 'I8', q4: 'U8' } as const

/** Columns of a linear weight as stored: rows are padded to a multiple of 32 but in f32. */
export function storedColumns(columns: number, dtype: Dtype): number {
  return dtype === 'f32' ? columns : Math.ceil(columns / BLOCK) * BLOCK
}

/** The dtype of a unit's shard: what has no linear weights is in f16 where the model is quantised. */
export function shardDtype(unit: string, dtype: Dtype): Dtype {
  const quantised = dtype === 'q8' || dtype === 'q4'
  return quantised && (unit === 'embeddings' || unit === 'final') ? 'f16' : dtype
}

function linearWeight(name: string, out: number, columns: number, dtype: Dtype): ExpectedTensor[] {
  const stored = storedColumns(columns, dtype)
  const shape = [out, dtype === 'q4' ? stored / 2 : stored]
  const weight: ExpectedTensor = { name, dtype: QUANTS[dtype], shape, in: columns }
  if (dtype === 'f32' || dtype === 'f16') {
    return [weight]
  }
  return [weight, { name: `${name}.scales`, dtype: 'F16', shape: [out, stored / BLOCK] }]
}

export function expectedTensors(manifest: Manifest, unit: string, dtype: Dtype): ExpectedTensor[] {
  const { hiddenSize: h, vocabularySize, embeddings, layer } = manifest
  const vector = (name: string, size: number): ExpectedTensor => ({ name, dtype: 'F32', shape: [size] })
  const norm = (prefix: string) => [vector(`${prefix}.weight`, h), vector(`${prefix}.bias`, h)]
  const linear = (prefix: string, out: number, columns: number): ExpectedTensor[] => [
    ...linearWeight(`${prefix}.weight`, out, columns, dtype),
    vector(`${prefix}.bias`, out),
  ]
  const table = (name: string, rows: number): ExpectedTensor => ({
    name,
    dtype: dtype === 'f32' ? 'F32' : 'F16',
    shape: [rows, h],
  })
  switch (unit) {
    case 'embeddings':
      return [
        table('tokens', vocabularySize),
        table('positions', embeddings.positions),
        ...(embeddings.types === undefined ? [] : [table('types', embeddings.types)]),
        ...(embeddings.norm === undefined ? [] : norm('norm')),
      ]
    case 'final':
      return norm('norm')
    case 'lm_head':
      return linearWeight('weight', vocabularySize, h, dtype)
    default:
      return [
        ...norm('attention.norm'),
        ...linear('attention.qkv', 3 * h, h),
        ...linear('attention.out', h, h),
        ...norm('mlp.norm'),
        ...linear('mlp.up', layer.mlp.innerSize, h),
        ...linear('mlp.down', h, layer.mlp.innerSize),
      ]
  }
}

/**
 * Reads a shard's header and checks that it holds exactly the unit's tensors where a GPU can bind them.
 *
 * @param start the first bytes of the shard, at least the whole header
 * @param fileBytes length of the whole shard
 * @param modelDtype the variant of the model that is being loaded
 * @throws SplitComputeError `invalid_shard`
 */
export function readUnitHeader(
  start: Uint8Array,
  fileBytes: number,
  manifest: Manifest,
  unit: string,
  modelDtype: Dtype,
): SafetensorsHeader {
  const dtype = shardDtype(unit, modelDtype)
  const subject = `The shard of ${unit} in ${dtype}`
  const header = readSafetensorsHeader(start, fileBytes, 'invalid_shard', subject)
  const fail = (what: string): never => {
    throw new SplitComputeError('invalid_shard', `${subject}: ${what}.`)
  }
  const { metadata, dataOffset, dataBytes } = header
  if (metadata.get('format') !== FORMAT) {
    fail(`its format is not "${FORMAT}"`)
  }
  if (metadata.get('dtype') !== dtype) {
    fail(`its metadata names the dtype "${metadata.get('dtype')}"`)
  }
  if (dataOffset % ALIGNMENT !== 0 || dataBytes % ALIGNMENT !== 0) {
    fail(`its data does not begin and end at multiples of ${ALIGNMENT} bytes`)
  }
  const tensors = header.tensors.filter((tensor) => !isPadding(tensor))
  const expected = expectedTensors(manifest, unit, dtype)
  if (tensors.length !== expected.length) {
    fail(`it has ${tensors.length} tensors instead of ${expected.length}`)
  }
  for (const [i, { name, dtype: type, shape, in: columns }] of expected.entries()) {
    const tensor = tensors[i]
    if (tensor?.name !== name) {
      fail(`it has "${tensor?.name}" where "${name}" belongs`)
    } else if (tensor.dtype !== type || tensor.shape.join() !== shape.join()) {
      fail(`"${name}" is ${tensor.dtype} [${tensor.shape}] instead of ${type} [${shape}]`)
    } else if (tensor.offset % ALIGNMENT !== 0) {
      fail(`"${name}" does not begin at a multiple of ${ALIGNMENT} bytes`)
    } else if (columns !== undefined && metadata.get(`${name}.in`) !== String(columns)) {
      fail(`its metadata does not give "${name}" ${columns} columns`)
    }
  }
  return header
}

function isPadding({ name, dtype }: Tensor): boolean {
  return dtype === 'U8' && /^pad\.\d+$/.test(name)
}
