import { Message } from './protobuf'

/** Element types of `onnx.proto`. */
export const ELEMENT = { f32: 1, u8: 2, i32: 6, i64: 7, f16: 10 } as const
export type Element = keyof typeof ELEMENT

/** Where `onnxruntime` looks for the initializers' bytes. */
export const DATA_FILE = 'weights.bin'

const STORAGE_ALIGNMENT = 4096

type Attribute = number | string | readonly number[]

/** An initializer whose bytes lie in a file beside the model. */
export interface ExternalTensor {
  readonly name: string
  readonly element: Element
  readonly dims: readonly number[]
  readonly offset: number
  readonly bytes: number
}

/** Collects nodes and initializers, and writes them as an ONNX model. Field numbers are those of `onnx.proto`. */
export class OnnxGraph {
  readonly #graph = new Message().text(2, 'layers')
  readonly external: ExternalTensor[] = []
  #dataBytes = 0
  #names = 0

  /** Bytes of `DATA_FILE`. */
  get dataBytes(): number {
    return this.#dataBytes
  }

  input(name: string, element: Element, dims: readonly number[]): string {
    this.#graph.message(11, valueInfo(name, element, dims))
    return name
  }

  output(name: string, element: Element, dims: readonly number[]): string {
    this.#graph.message(12, valueInfo(name, element, dims))
    return name
  }

  /** An initializer in the file of weights. */
  weight(name: string, element: Element, dims: readonly number[]): string {
    const size = { f32: 4, u8: 1, i32: 4, i64: 8, f16: 2 }[element]
    const bytes = dims.reduce((product, dim) => product * dim, size)
    const offset = this.#dataBytes
    this.external.push({ name, element, dims, offset, bytes })
    this.#dataBytes += Math.ceil(bytes / STORAGE_ALIGNMENT) * STORAGE_ALIGNMENT
    const tensor = tensorHeader(name, element, dims)
    for (const [key, value] of Object.entries({ location: DATA_FILE, offset, length: bytes })) {
      tensor.message(13, new Message().text(1, key).text(2, String(value)))
    }
    this.#graph.message(5, tensor.int(14, 1))
    return name
  }

  /** An initializer within the model. */
  constant(name: string, element: Element, dims: readonly number[], data: ArrayBufferView): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    this.#graph.message(5, tensorHeader(name, element, dims).bytes(9, bytes))
    return name
  }

  /**
   * @param inputs empty names stand for optional inputs that are left out
   * @returns the names of the outputs
   */
  node(
    type: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string[] {
    const node = new Message()
    for (const input of inputs) {
      node.text(1, input)
    }
    const names = Array.from({ length: outputs }, () => `value.${this.#names++}`)
    for (const name of names) {
      node.text(2, name)
    }
    node.text(3, `node.${this.#names}`).text(4, type)
    for (const [name, value] of Object.entries(attributes)) {
      node.message(5, attribute(name, value))
    }
    this.#graph.message(1, node.text(7, domain))
    return names
  }

  /** The model, with the operators of ONNX 21 and those of onnxruntime. */
  finish(): Uint8Array<ArrayBuffer> {
    const operators = (domain: string, version: number) => new Message().text(1, domain).int(2, version)
    return new Message()
      .int(1, 10)
      .text(2, 'splitcompute-bench')
      .message(7, this.#graph)
      .message(8, operators('', 21))
      .message(8, operators('com.microsoft', 1))
      .finish()
  }
}

function tensorHeader(name: string, element: Element, dims: readonly number[]): Message {
  const tensor = new Message()
  for (const dim of dims) {
    tensor.int(1, dim)
  }
  return tensor.int(2, ELEMENT[element]).text(8, name)
}

function valueInfo(name: string, element: Element, dims: readonly number[]): Message {
  const shape = new Message()
  for (const dim of dims) {
    shape.message(1, new Message().int(1, dim))
  }
  const tensor = new Message().int(1, ELEMENT[element]).message(2, shape)
  return new Message().text(1, name).message(2, new Message().message(1, tensor))
}

/** Whole numbers become integers, others floats; lists are of integers. */
function attribute(name: string, value: Attribute): Message {
  const message = new Message().text(1, name)
  if (typeof value === 'string') {
    return message.text(4, value).int(20, 3)
  }
  if (typeof value === 'number') {
    return Number.isInteger(value) ? message.int(3, value).int(20, 2) : message.float(2, value).int(20, 1)
  }
  for (const item of value) {
    message.int(8, item)
  }
  return message.int(20, 7)
}
