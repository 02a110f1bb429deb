import type { Dtype, Manifest } from '../client/manifest'
import { SplitComputeError } from '../errors'
import { readSafetensorsHeader, type SafetensorsHeader, type Tensor } from './safetensors'

/** Every tensor of a shard starts at a multiple of this, so that a GPU can bind it where it lies. */
export const ALIGNMENT = 256

const FORMAT = 'splitcompute.shard/1'

/** A tensor that `weights/FORMAT.md` wants in a unit. */
interface ExpectedTensor {
  readonly name: string
  readonly dtype: 'F32' | 'F16'
  readonly shape: readonly number[]
  /** True columns of a linear weight, whose rows may be padded. */
  readonly in?: number
}

/** Columns of a linear weight as stored: rows are padded to a multiple of 32 but in f32. */
export function storedColumns(columns: number, dtype: Dtype): number {
  return dtype === 'f32' ? columns : Math.ceil(columns / 32) * 32
}

function expectedTensors(manifest: Manifest, unit: string, dtype: Dtype): ExpectedTensor[] {
  const { hiddenSize: h, layer } = manifest
  const stored = dtype === 'f32' ? 'F32' : 'F16'
  const vector = (name: string, size: number): ExpectedTensor => ({ name, dtype: 'F32', shape: [size] })
  const norm = (prefix: string) => [vector(`${prefix}.weight`, h), vector(`${prefix}.bias`, h)]
  const linear = (prefix: string, out: number, columns: number): ExpectedTensor[] => [
    {
      name: `${prefix}.weight`,
      dtype: stored,
      shape: [out, storedColumns(columns, dtype)],
      in: columns,
    },
    vector(`${prefix}.bias`, out),
  ]
  if (unit === 'embeddings') {
    return [
      { name: 'tokens', dtype: stored, shape: [manifest.vocabularySize, h] },
      { name: 'positions', dtype: stored, shape: [manifest.positions, h] },
    ]
  }
  if (unit === 'final') {
    return norm('norm')
  }
  return [
    ...norm('attention.norm'),
    ...linear('attention.qkv', 3 * h, h),
    ...linear('attention.out', h, h),
    ...norm('mlp.norm'),
    ...linear('mlp.up', layer.mlp.innerSize, h),
    ...linear('mlp.down', h, layer.mlp.innerSize),
  ]
}

/**
 * Reads a shard's header and checks that it holds exactly the unit's tensors where a GPU can bind them.
 *
 * @param start the first bytes of the shard, at least the whole header
 * @param fileBytes length of the whole shard
 * @throws SplitComputeError `invalid_shard`
 */
export function readUnitHeader(
  start: Uint8Array,
  fileBytes: number,
  manifest: Manifest,
  unit: string,
  dtype: Dtype,
): SafetensorsHeader {
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
