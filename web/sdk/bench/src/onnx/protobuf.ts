/** A message of protocol buffers on its way into bytes; fields of value zero are written like any other. */
export class Message {
  readonly #pieces: Uint8Array[] = []

  int(field: number, value: number): this {
    return this.#add(varint(field << 3), varint(value))
  }

  float(field: number, value: number): this {
    return this.#add(varint((field << 3) | 5), new Uint8Array(Float32Array.of(value).buffer))
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value))
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish())
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#add(varint((field << 3) | 2), varint(value.byteLength), value)
  }

  finish(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#pieces.reduce((sum, { byteLength }) => sum + byteLength, 0))
    let at = 0
    for (const piece of this.#pieces) {
      bytes.set(piece, at)
      at += piece.byteLength
    }
    return bytes
  }

  #add(...pieces: readonly Uint8Array[]): this {
    this.#pieces.push(...pieces)
    return this
  }
}

/** Seven bits a byte, the lowest first; negative values in two's complement of 64 bits. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}
