/** Buffers for parts on their way, used again: to get fresh memory for a part takes a browser longer than to hash it. */
export class PartBuffers {
  readonly #free: Uint8Array<ArrayBuffer>[] = []
  #lent = 0

  /** @returns a buffer of at least so many bytes, to be given back */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    this.#lent++
    const fitting = this.#free.findIndex(({ byteLength }) => byteLength >= bytes)
    return fitting < 0 ? new Uint8Array(bytes) : (this.#free.splice(fitting, 1)[0] as Uint8Array<ArrayBuffer>)
  }

  /** Where nobody has one any more, none is kept. */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    this.#lent--
    this.#free.push(buffer)
    if (this.#lent === 0) {
      this.#free.length = 0
    }
  }
}
