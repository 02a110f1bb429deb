/** Buffers for parts on their way, used again: to get fresh memory for a part takes a browser longer than to hash it. */
export class PartBuffers {
  readonly #free: ArrayBuffer[] = []

  /** @returns a buffer of at least so many bytes, to be given back */
  take(bytes: number): ArrayBuffer {
    const fitting = this.#free.findIndex(({ byteLength }) => byteLength >= bytes)
    return fitting < 0 ? new ArrayBuffer(bytes) : (this.#free.splice(fitting, 1)[0] as ArrayBuffer)
  }

  give(buffer: ArrayBuffer): void {
    this.#free.push(buffer)
  }

  /** Keeps none any more. */
  clear(): void {
    this.#free.length = 0
  }
}
