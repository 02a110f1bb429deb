import { type ErrorCode, type Problem, SplitComputeError, sentence } from '../errors'

/** Counts of progress come by the thousand; each message to the page has its price. */
const TELL_INTERVAL_MS = 20

/** What a `MessagePort`, a `Worker` and a worker's global scope have in common. */
export interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void
  removeEventListener(type: 'message', listener: (event: MessageEvent) => void): void
}

/** Functions by name that one side of a channel may call on the other: one argument, one result. */
export type Calls = Readonly<Record<string, { readonly argument: unknown; readonly result: unknown }>>

export type Handlers<C extends Calls> = {
  readonly [Name in keyof C]: (
    argument: C[Name]['argument'],
    context: CallContext,
  ) => Promise<C[Name]['result']> | C[Name]['result']
}

export interface CallContext {
  /** Aborts with the caller's reason. */
  readonly signal: AbortSignal
  /** Adds to what the caller is told of progress; it hears the sum from time to time, and at the end. */
  readonly tell: (count: number) => void
}

export interface CallOptions {
  readonly signal?: AbortSignal
  readonly onCount?: (count: number) => void
  readonly transfer?: Transferable[]
}

type WireError =
  | { readonly code: ErrorCode; readonly message: string; readonly problem?: Problem }
  | { readonly error: unknown }

type Message =
  | { readonly call: number; readonly name: string; readonly argument: unknown }
  | { readonly abort: number; readonly reason: WireError }
  | { readonly tell: number; readonly count: number }
  | { readonly answer: number; readonly value: unknown }
  | { readonly answer: number; readonly error: WireError }

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly onCount: ((count: number) => void) | undefined
}

/** Results whose buffers move to the other side instead of being copied. */
export class Transferred<T> {
  constructor(
    readonly value: T,
    readonly transfer: Transferable[],
  ) {}
}

/**
 * Two threads that call each other. An abort reaches the function that is called, typed errors arrive as what they were,
 * and nothing stays pending once the channel is closed.
 *
 * @typeParam Theirs what this side may call
 * @typeParam Ours what it serves
 */
export class Channel<Theirs extends Calls, Ours extends Calls> {
  readonly #pending = new Map<number, Pending>()
  readonly #serving = new Map<number, AbortController>()
  #calls = 0
  #closed: { readonly error: unknown } | undefined

  constructor(
    private readonly port: Port,
    private readonly handlers: Handlers<Ours>,
  ) {
    port.addEventListener('message', this.#receive)
  }

  /** @throws what the other side threw; the signal's reason once it aborts; what the channel was closed with */
  call<Name extends keyof Theirs & string>(
    name: Name,
    argument: Theirs[Name]['argument'],
    { signal, onCount, transfer = [] }: CallOptions = {},
  ): Promise<Theirs[Name]['result']> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#closed !== undefined) {
        throw this.#closed.error
      }
      const id = ++this.#calls
      const aborted = () => {
        settle()
        this.#send({ abort: id, reason: toWire(signal?.reason) })
        reject(signal?.reason)
      }
      const settle = () => {
        this.#pending.delete(id)
        signal?.removeEventListener('abort', aborted)
      }
      this.#pending.set(id, {
        resolve: (value) => {
          settle()
          resolve(value as Theirs[Name]['result'])
        },
        reject: (error) => {
          settle()
          reject(error)
        },
        onCount,
      })
      signal?.addEventListener('abort', aborted, { once: true })
      try {
        this.#send({ call: id, name, argument }, transfer)
      } catch (error) {
        // What cannot be sent has no answer.
        settle()
        throw error
      }
    })
  }

  /** Ends both directions: what is pending rejects with the error, what is being served is aborted with it. */
  close(error: unknown): void {
    if (this.#closed !== undefined) {
      return
    }
    this.#closed = { error }
    this.port.removeEventListener('message', this.#receive)
    for (const pending of [...this.#pending.values()]) {
      pending.reject(error)
    }
    for (const controller of this.#serving.values()) {
      controller.abort(error)
    }
    this.#serving.clear()
  }

  readonly #receive = ({ data }: MessageEvent): void => {
    const message = data as Message
    if ('call' in message) {
      this.#serve(message.call, message.name, message.argument)
    } else if ('abort' in message) {
      this.#serving.get(message.abort)?.abort(fromWire(message.reason))
    } else if ('tell' in message) {
      this.#pending.get(message.tell)?.onCount?.(message.count)
    } else if ('error' in message) {
      this.#pending.get(message.answer)?.reject(fromWire(message.error))
    } else if ('answer' in message) {
      this.#pending.get(message.answer)?.resolve(message.value)
    }
  }

  async #serve(id: number, name: string, argument: unknown): Promise<void> {
    const controller = new AbortController()
    this.#serving.set(id, controller)
    let counted = 0
    let timer: ReturnType<typeof setTimeout> | undefined
    const tell = () => {
      clearTimeout(timer)
      timer = undefined
      if (counted !== 0) {
        this.#send({ tell: id, count: counted })
        counted = 0
      }
    }
    try {
      const context = {
        signal: controller.signal,
        tell: (count: number) => {
          counted += count
          // A timer, not the next count: there is none while a network is silent.
          timer ??= setTimeout(tell, TELL_INTERVAL_MS)
        },
      }
      const result: unknown = await this.handlers[name]?.(argument, context)
      tell()
      if (result instanceof Transferred) {
        this.#send({ answer: id, value: result.value }, result.transfer)
      } else {
        this.#send({ answer: id, value: result })
      }
    } catch (error) {
      tell()
      this.#send({ answer: id, error: toWire(error) })
    } finally {
      this.#serving.delete(id)
    }
  }

  #send(message: Message, transfer: Transferable[] = []): void {
    if (this.#closed === undefined) {
      this.port.postMessage(message, transfer)
    }
  }
}

function toWire(error: unknown): WireError {
  if (error instanceof SplitComputeError) {
    const { code, message, problem } = error
    return problem === undefined ? { code, message } : { code, message, problem }
  }
  try {
    return { error: structuredClone(error) }
  } catch {
    return { error: new Error(sentence(error)) }
  }
}

function fromWire(wire: WireError): unknown {
  if ('error' in wire) {
    return wire.error
  }
  const { code, message, problem } = wire
  return new SplitComputeError(code, message, problem === undefined ? {} : { problem })
}
