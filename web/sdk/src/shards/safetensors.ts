import { type ErrorCode, SplitComputeError } from '../errors'
import { duplicateName } from './duplicate-name'

/** Most bytes of a header, as the format says. */
export const HEADER_LIMIT = 100_000_000

const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
}

export interface Tensor {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  /** Bytes from the start of the data. */
  readonly offset: number
  readonly bytes: number
}

/** A checked header: its tensors tile the data, without overlap or hole. */
export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>
  /** In the order of their bytes. */
  readonly tensors: readonly Tensor[]
  /** Bytes from the start of the file. */
  readonly dataOffset: number
  readonly dataBytes: number
}

/**
 * Reads the header of a safetensors file (https://github.com/huggingface/safetensors) that is not trusted.
 *
 * @param start the first bytes of the file, at least the whole header
 * @param fileBytes length of the whole file
 * @param code of the errors
 * @param subject how an error's sentence begins
 * @throws SplitComputeError `code`
 */
export function readSafetensorsHeader(
  start: Uint8Array,
  fileBytes: number,
  code: ErrorCode,
  subject: string,
): SafetensorsHeader {
  const fail = (what: string, cause?: unknown): never => {
    throw new SplitComputeError(code, `${subject}: ${what}.`, { cause })
  }
  if (start.byteLength < 8) {
    return fail('it is too short for a safetensors header')
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const length = view.getBigUint64(0, true)
  if (length > BigInt(HEADER_LIMIT) || Number(length) > fileBytes - 8) {
    return fail(`its header claims ${length} bytes`)
  }
  const dataOffset = 8 + Number(length)
  if (dataOffset > start.byteLength) {
    return fail(`its header of ${length} bytes is longer than expected`)
  }
  const json = parseObject(start.subarray(8, dataOffset), fail)
  const dataBytes = fileBytes - dataOffset
  const metadata = readMetadata(json, fail)
  const tensors = Object.entries(json)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => readTensor(name, entry, fail))
    .sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  let end = 0
  for (const { name, offset, bytes } of tensors) {
    if (offset !== end) {
      fail(`the tensor "${name}" begins at ${offset}, but what comes before ends at ${end}`)
    }
    end = offset + bytes
  }
  if (end !== dataBytes) {
    fail(`its tensors end at ${end}, its data at ${dataBytes}`)
  }
  return { metadata, tensors, dataOffset, dataBytes }
}

type Fail = (what: string, cause?: unknown) => never

function parseObject(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  if (bytes[0] !== 0x7b) {
    fail('its header does not begin with "{"')
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = JSON.parse(text) as Record<string, unknown>
    const duplicate = duplicateName(text)
    return duplicate === undefined ? value : fail(`it has "${duplicate}" twice`)
  } catch (cause) {
    if (cause instanceof SplitComputeError) {
      throw cause
    }
    return fail('its header is not JSON', cause)
  }
}

function readMetadata(json: Record<string, unknown>, fail: Fail): Map<string, string> {
  const metadata = json.__metadata__ ?? {}
  if (typeof metadata !== 'object' || Array.isArray(metadata)) {
    return fail('its metadata is not an object')
  }
  return new Map(
    Object.entries(metadata).map(([key, value]: [string, unknown]) => [
      key,
      typeof value === 'string' ? value : fail(`the metadata "${key}" is not a string`),
    ]),
  )
}

function readTensor(name: string, entry: unknown, fail: Fail): Tensor {
  if (typeof entry !== 'object' || entry === null) {
    return fail(`the entry of "${name}" is not an object`)
  }
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>
  if (Object.keys(entry).length !== 3) {
    return fail(`the entry of "${name}" has members that the format does not know`)
  }
  const elementBytes = typeof dtype === 'string' ? ELEMENT_BYTES[dtype] : undefined
  if (typeof dtype !== 'string' || elementBytes === undefined || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
    return fail(`the tensor "${name}" has an unknown dtype`)
  }
  if (!isCounts(shape)) {
    return fail(`the shape of "${name}" is not a list of whole numbers`)
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    return fail(`the offsets of "${name}" are not two whole numbers`)
  }
  const [begin = 0, end = 0] = offsets
  const bytes = shape.reduce((product, size) => product * size, elementBytes)
  if (end - begin !== bytes) {
    return fail(`the offsets of "${name}" span ${end - begin} bytes, its shape ${bytes}`)
  }
  return { name, dtype, shape, offset: begin, bytes }
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)
}
