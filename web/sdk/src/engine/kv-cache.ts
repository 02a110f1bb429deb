import { SplitComputeError } from '../errors'
import { allocate } from './gpu'

/** Tokens of a sequence for which a cache has room at first; it doubles from there. */
const FEWEST_TOKENS = 64

/** Where the sequences of one span lie in a cache. */
export interface CachedSequences {
  /** Of each sequence: its tokens in the cache, and the row of the first of them. */
  readonly places: readonly { readonly past: number; readonly row: number }[]
  readonly layer: (k: number) => GPUBuffer
  /** Tells the bind groups of a layer apart from those of other caches. */
  readonly key: (k: number) => string
}

export interface CacheShape {
  /** Layers `[from, to)` have keys and values here. */
  readonly from: number
  readonly to: number
  readonly hiddenSize: number
  readonly sequences: number
  /** Most tokens of a sequence. */
  readonly mostTokens: number
  /** Most bytes of one buffer. */
  readonly bufferLimit: number
}

export interface CacheHost {
  readonly device: GPUDevice
  /** @throws SplitComputeError `out_of_memory` where so many more bytes are over the budget */
  readonly claim: (bytes: number) => void
  /** Told that a cache's buffers are no more. */
  readonly forget: (key: string) => void
}

let caches = 0

/**
 * The keys and values of some layers: a buffer a layer, in it `capacity` rows for each sequence, a token's row being its keys and then its
 * values, `2 * hiddenSize` floats.
 */
export class KvCache {
  readonly #name = `cache ${caches++} `
  #buffers: readonly GPUBuffer[] = []
  #capacity = 0
  /** Bytes that are being allocated. */
  #growing = 0
  #destroyed = false

  constructor(
    private readonly shape: CacheShape,
    private readonly host: CacheHost,
  ) {}

  /** Bytes on the GPU. */
  get bytes(): number {
    return this.#bytes(this.#capacity) + this.#growing
  }

  /**
   * Makes room for sequences of so many tokens, and keeps what is there.
   *
   * @throws SplitComputeError `out_of_memory`, `limit_exceeded`; the cache is then as it was
   */
  async reserve(tokens: number): Promise<void> {
    if (tokens <= this.#capacity) {
      return
    }
    const wanted = Math.max(tokens, 2 * this.#capacity, FEWEST_TOKENS)
    try {
      await this.#grow(Math.min(wanted, this.shape.mostTokens))
    } catch (error) {
      if (this.#destroyed || wanted === tokens) {
        throw error
      }
      await this.#grow(tokens)
    }
  }

  /** @param pasts tokens in the cache, by sequence */
  sequences(indices: readonly number[], pasts: readonly number[]): CachedSequences {
    return {
      places: indices.map((i) => ({ past: pasts[i] ?? 0, row: i * this.#capacity })),
      layer: (k) => {
        const buffer = this.#buffers[k - this.shape.from]
        if (buffer === undefined) {
          throw new SplitComputeError('closed', 'The session is closed.')
        }
        return buffer
      },
      key: (k) => `${this.#name}${k} `,
    }
  }

  destroy(): void {
    this.#destroyed = true
    this.#capacity = 0
    this.#replace([])
  }

  async #grow(capacity: number): Promise<void> {
    const { from, to, sequences, bufferLimit } = this.shape
    const size = sequences * capacity * this.#rowBytes
    if (size > bufferLimit) {
      throw new SplitComputeError(
        'limit_exceeded',
        `The keys and values of ${sequences} sequences of ${capacity} tokens are more than this GPU can bind.`,
      )
    }
    const { device } = this.host
    const bytes = this.#bytes(capacity)
    this.host.claim(bytes)
    this.#growing = bytes
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const descriptors = Array.from({ length: to - from }, (_, i) => ({
      label: `${this.#name}of layer ${from + i}`,
      size,
      usage,
    }))
    let buffers: GPUBuffer[]
    try {
      buffers = await allocate(device, descriptors)
    } finally {
      this.#growing = 0
    }
    if (this.#destroyed) {
      for (const buffer of buffers) {
        buffer.destroy()
      }
      throw new SplitComputeError('closed', 'The session was closed.')
    }
    const encoder = device.createCommandEncoder()
    const old = this.#capacity * this.#rowBytes
    for (const [i, buffer] of this.#buffers.entries()) {
      for (let s = 0; s < sequences; s++) {
        encoder.copyBufferToBuffer(buffer, s * old, buffers[i] as GPUBuffer, (s * size) / sequences, old)
      }
    }
    device.queue.submit([encoder.finish()])
    this.#capacity = capacity
    this.#replace(buffers)
  }

  #replace(buffers: readonly GPUBuffer[]): void {
    for (const buffer of this.#buffers) {
      buffer.destroy()
    }
    this.#buffers = buffers
    this.host.forget(this.#name)
  }

  get #rowBytes(): number {
    return 2 * this.shape.hiddenSize * 4
  }

  #bytes(capacity: number): number {
    const { from, to, sequences } = this.shape
    return (to - from) * sequences * capacity * this.#rowBytes
  }
}
