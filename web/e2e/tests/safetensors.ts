/** The bytes of a tensor of a safetensors file or message; throws where it has none of that name. */
export function tensorBytes(file: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(file)
  const headerBytes = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { data_offsets: [number, number] } | undefined
  >
  const offsets = header[name]?.data_offsets
  if (offsets === undefined) {
    throw new Error(`There is no tensor "${name}": ${Object.keys(header)}`)
  }
  return new Uint8Array(bytes.subarray(8 + headerBytes + offsets[0], 8 + headerBytes + offsets[1]))
}
