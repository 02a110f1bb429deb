export interface WrittenTensor {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

/** A safetensors file whose data begins at a multiple of 8 bytes. */
export function writeSafetensors(
  metadata: Readonly<Record<string, string>>,
  tensors: readonly WrittenTensor[],
): Uint8Array<ArrayBuffer> {
  let end = 0
  const entries = tensors.map(({ name, dtype, shape, bytes }) => {
    const begin = end
    end += bytes.byteLength
    return [name, { dtype, shape, data_offsets: [begin, end] }] as const
  })
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) })
  return assemble(json.padEnd(Math.ceil(json.length / 8) * 8), tensors)
}

/** The bytes of a safetensors file with exactly this header. */
export function assemble(json: string, tensors: readonly { bytes: Uint8Array }[]): Uint8Array<ArrayBuffer> {
  const header = new TextEncoder().encode(json)
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(header.byteLength), true)
  return new Uint8Array(Buffer.concat([length, header, ...tensors.map(({ bytes }) => bytes)]))
}
