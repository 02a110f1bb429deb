import { SplitComputeError } from '../errors'
import type { Tensor } from '../shards/safetensors'
import { ALIGNMENT } from '../shards/unit-layout'
import { allocate } from './gpu'

/** Tables that kernels can read piece by piece; every other tensor is bound as a whole. */
const SPLITTABLE: ReadonlySet<string> = new Set(['tokens', 'weight', 'weight.scales'])

/** Rows of a tensor as one binding. */
export interface Piece {
  readonly binding: GPUBufferBinding
  readonly firstRow: number
  readonly rows: number
}

/** A range of the shard's data in a buffer of its own. */
interface Segment {
  readonly offset: number
  readonly bytes: number
}

interface PlannedPiece {
  readonly segment: number
  readonly offset: number
  readonly bytes: number
  readonly firstRow: number
  readonly rows: number
}

/** The weights of one unit on the GPU: one buffer as downloaded, or several where the device's limits are smaller. */
export class UnitBuffers {
  private constructor(
    private readonly device: GPUDevice,
    private readonly segments: readonly Segment[],
    private readonly buffers: readonly GPUBuffer[],
    private readonly tensors: ReadonlyMap<string, readonly Piece[]>,
  ) {}

  /**
   * Allocates room for a shard's data; `write` fills it.
   *
   * @param tensors of the shard, in order
   * @param dataBytes of the shard, a multiple of 256
   * @param limit most bytes of one buffer and one binding
   * @throws SplitComputeError `out_of_memory`, `limit_exceeded`
   */
  static async allocate(
    device: GPUDevice,
    label: string,
    tensors: readonly Tensor[],
    dataBytes: number,
    limit: number,
  ): Promise<UnitBuffers> {
    const { segments, pieces } = plan(tensors, dataBytes, limit)
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST
    const descriptors = segments.map(({ bytes }) => ({ label, size: bytes, usage }))
    const buffers = await allocate(device, descriptors)
    const bound = new Map<string, Piece[]>()
    for (const [name, planned] of pieces) {
      const rows = planned.flatMap(({ segment, offset, bytes, firstRow, rows }) => {
        const buffer = buffers[segment]
        return buffer === undefined ? [] : [{ binding: { buffer, offset, size: bytes }, firstRow, rows }]
      })
      bound.set(name, rows)
    }
    return new UnitBuffers(device, segments, buffers, bound)
  }

  /** Bytes on the GPU. */
  get bytes(): number {
    return this.segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Writes bytes of the shard's data; offset and length are multiples of 4. */
  write(offset: number, data: Uint8Array<ArrayBuffer>): void {
    for (const [i, segment] of this.segments.entries()) {
      const buffer = this.buffers[i]
      const begin = Math.max(offset, segment.offset)
      const end = Math.min(offset + data.byteLength, segment.offset + segment.bytes)
      if (buffer !== undefined && begin < end) {
        this.device.queue.writeBuffer(
          buffer,
          begin - segment.offset,
          data.subarray(begin - offset, end - offset),
        )
      }
    }
  }

  /** A tensor that is bound as a whole. */
  tensor(name: string): GPUBufferBinding {
    const [piece, ...others] = this.pieces(name)
    if (piece === undefined || others.length > 0) {
      throw new SplitComputeError('limit_exceeded', `"${name}" is larger than this GPU can bind.`)
    }
    return piece.binding
  }

  /** The pieces of a table, which may be split by rows. */
  pieces(name: string): readonly Piece[] {
    return this.tensors.get(name) ?? []
  }

  destroy(): void {
    for (const buffer of this.buffers) {
      buffer.destroy()
    }
  }
}

/** One segment where it fits; else segments begin at tensors, and tables over the limit are split between rows. */
function plan(tensors: readonly Tensor[], dataBytes: number, limit: number) {
  const segments: Segment[] = []
  const pieces = new Map<string, PlannedPiece[]>()
  /** Rows of a piece, for the scales of tables that are split: kernels read both by the same rows. */
  const followed = new Map<string, number>()
  let begin = 0
  const close = (end: number) => {
    if (end > begin) {
      segments.push({ offset: begin, bytes: end - begin })
    }
    begin = end
  }
  for (const tensor of tensors) {
    const end = align(tensor.offset + tensor.bytes)
    const rows = tensor.shape[0] ?? 1
    if (end - begin > limit) {
      close(tensor.offset)
    }
    const scales = tensors.find(({ name }) => name === `${tensor.name}.scales`)
    const whole = end - begin <= limit && !followed.has(tensor.name)
    const split = () => followed.get(tensor.name) ?? rowsWithin(tensor, scales, rows, limit)
    const stride = whole ? rows : split()
    if (scales !== undefined && !whole) {
      followed.set(scales.name, stride)
    }
    const planned: PlannedPiece[] = []
    for (let first = 0; first < rows; first += stride) {
      const count = Math.min(stride, rows - first)
      const offset = tensor.offset + first * (tensor.bytes / rows)
      if (!whole) {
        close(offset)
      }
      const bytes = align(count * (tensor.bytes / rows))
      planned.push({ segment: segments.length, offset: offset - begin, bytes, firstRow: first, rows: count })
    }
    pieces.set(tensor.name, planned)
  }
  close(dataBytes)
  return { segments, pieces }
}

/** As many rows as fit the limit and end where the next binding may begin, that of the scales as well. */
function rowsWithin(tensor: Tensor, scales: Tensor | undefined, rows: number, limit: number): number {
  const rowBytes = tensor.bytes / rows
  const scaleBytes = (scales?.bytes ?? 0) / rows
  let group = 1
  while ((group * rowBytes) % ALIGNMENT !== 0 || (group * scaleBytes) % ALIGNMENT !== 0) {
    group *= 2
  }
  const stride = Math.floor(limit / (group * rowBytes)) * group
  if (stride === 0 || !SPLITTABLE.has(tensor.name)) {
    throw new SplitComputeError('limit_exceeded', `"${tensor.name}" is larger than this GPU can bind.`)
  }
  return stride
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}
