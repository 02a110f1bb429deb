import type { Activations } from '../engine/batch'
import { SplitComputeError } from '../errors'
import { readSafetensorsHeader, type Tensor } from '../shards/safetensors'

/** What the head hands over; `functions/head/ACTIVATIONS.md` specifies it. */
export interface ActivationsMessage {
  readonly model: string
  readonly revision: string
  readonly cut: number
  readonly tokens: Int32Array
  /** Tokens of each sequence, at least 1. */
  readonly lengths: Int32Array
  /** `[tokens, hiddenSize]`; absent at cut 0. */
  readonly hidden: Activations | undefined
}

const FORMAT = 'splitcompute.activations/1'
const HIDDEN_DTYPES: Readonly<Record<string, 'f32' | 'f16'>> = { F32: 'f32', F16: 'f16' }

/**
 * Reads an activations message and checks it whole: dtypes, shapes, and that the lengths add up.
 *
 * @param hiddenSize of the model
 * @throws SplitComputeError `invalid_message`
 */
export function readActivations(bytes: Uint8Array, hiddenSize: number): ActivationsMessage {
  const fail = (what: string): never => {
    throw new SplitComputeError('invalid_message', `The activations message is invalid: ${what}.`)
  }
  const header = readSafetensorsHeader(bytes, bytes.byteLength, 'invalid_message', 'The activations message')
  const { metadata } = header
  if (metadata.get('format') !== FORMAT) {
    fail(`its format is not "${FORMAT}"`)
  }
  const text = (name: string): string => metadata.get(name) ?? fail(`its metadata has no "${name}"`)
  const find = (name: string) => header.tensors.find((tensor) => tensor.name === name)
  const data = bytes.subarray(header.dataOffset)
  const integers = (name: string): Int32Array => {
    const tensor = find(name)
    if (tensor === undefined || tensor.dtype !== 'I32' || tensor.shape.length !== 1) {
      return fail(`"${name}" is not an I32 vector`)
    }
    return new Int32Array(copy(tensor, data).buffer)
  }
  const [tokens, lengths] = [integers('tokens'), integers('lengths')]
  if (
    lengths.some((length) => length < 1) ||
    lengths.reduce((sum, length) => sum + length, 0) !== tokens.length
  ) {
    fail('its lengths do not add up to its tokens')
  }
  const cut = Number(text('cut'))
  if (!/^\d{1,9}$/.test(text('cut'))) {
    fail('its cut is not a whole number')
  }
  const hidden = find('hidden')
  if ((hidden === undefined) !== (cut === 0)) {
    fail('it has hidden states at cut 0, or none at another')
  }
  return {
    model: text('model'),
    revision: text('revision'),
    cut,
    tokens,
    lengths,
    hidden: hidden && readHidden(hidden, data, tokens.length, hiddenSize, fail),
  }
}

function readHidden(
  hidden: Tensor,
  data: Uint8Array,
  tokens: number,
  hiddenSize: number,
  fail: (what: string) => never,
): Activations {
  const dtype =
    HIDDEN_DTYPES[hidden.dtype] ?? fail(`"hidden" comes in ${hidden.dtype}, which was not asked for`)
  if (hidden.shape.join() !== [tokens, hiddenSize].join()) {
    fail(`"hidden" is [${hidden.shape}] instead of [${tokens},${hiddenSize}]`)
  }
  return { dtype, bytes: copy(hidden, data) }
}

function copy({ offset, bytes }: Tensor, data: Uint8Array): Uint8Array<ArrayBuffer> {
  return data.slice(offset, offset + bytes) as Uint8Array<ArrayBuffer>
}
