import { type ErrorCode, SplitComputeError } from '../errors'

const LARGEST = 2 ** 31 - 1

type Name<T> = keyof T & string
type Item<T> = T extends readonly (infer I)[] ? I : Record<string, unknown>

/**
 * Reads JSON that is not trusted: what is missing or of another type is an error that names the member. `T` is what is
 * promised; it decides which members can be asked for, and nothing else.
 */
export class JsonReader<T = Record<string, unknown>> {
  private constructor(
    private readonly value: unknown,
    private readonly path: string,
    private readonly code: ErrorCode,
  ) {}

  /**
   * @param subject how an error's sentence begins
   * @throws SplitComputeError `code` for what is not UTF-8 or not JSON
   */
  static parse<T = Record<string, unknown>>(
    bytes: Uint8Array,
    code: ErrorCode,
    subject: string,
  ): JsonReader<T> {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
      return new JsonReader<T>(JSON.parse(text), subject, code)
    } catch (cause) {
      throw new SplitComputeError(code, `${subject} is not JSON.`, { cause })
    }
  }

  fail(name: Name<T>, what: string): never {
    throw new SplitComputeError(this.code, `${this.path}: "${name}" ${what}.`)
  }

  has(name: Name<T>): boolean {
    return Object.hasOwn(this.#members(), name)
  }

  object(name: Name<T>): JsonReader {
    const member = this.#member(name)
    member.#members()
    return member
  }

  list<K extends Name<T>>(name: K): JsonReader<Item<T[K]>>[] {
    const { value, path, code } = this.#member(name)
    if (!Array.isArray(value)) {
      return this.fail(name, 'must be a list')
    }
    return value.map((item: unknown, i) => new JsonReader<Item<T[K]>>(item, `${path}[${i}]`, code))
  }

  string(name: Name<T>): string {
    return this.#member(name).asString()
  }

  boolean(name: Name<T>): boolean {
    const { value } = this.#member(name)
    return typeof value === 'boolean' ? value : this.fail(name, 'must be true or false')
  }

  choice<C extends string>(name: Name<T>, choices: readonly C[]): C {
    const found = choices.find((choice) => choice === this.#member(name).value)
    return found ?? this.fail(name, `must be one of ${choices.join(', ')}`)
  }

  /** A whole number from 1 to 2^31 - 1. */
  size(name: Name<T>): number {
    const size = this.count(name)
    return size > 0 ? size : this.fail(name, 'must be positive')
  }

  /** A whole number from 0 to 2^31 - 1. */
  count(name: Name<T>): number {
    return this.#whole(name, LARGEST)
  }

  /** A whole number from 0 to 2^53 - 1: a place in a file. */
  offset(name: Name<T>): number {
    return this.#whole(name, Number.MAX_SAFE_INTEGER)
  }

  /** A whole number from 1 to 2^53 - 1: a length of a file. */
  bytes(name: Name<T>): number {
    const bytes = this.offset(name)
    return bytes > 0 ? bytes : this.fail(name, 'must be positive')
  }

  finite(name: Name<T>): number {
    return this.#member(name).asFinite()
  }

  /** A finite number greater than zero. */
  positive(name: Name<T>): number {
    const value = this.#member(name).asFinite()
    return value > 0 ? value : this.fail(name, 'must be greater than zero')
  }

  /** A SHA-256 in lower-case hex. */
  hash(name: Name<T>): string {
    const hash = this.string(name)
    return /^[0-9a-f]{64}$/.test(hash) ? hash : this.fail(name, 'must be 64 lower-case hex digits')
  }

  asString(): string {
    if (typeof this.value !== 'string') {
      throw new SplitComputeError(this.code, `${this.path} must be a string.`)
    }
    return this.value
  }

  asFinite(): number {
    if (typeof this.value !== 'number' || !Number.isFinite(this.value)) {
      throw new SplitComputeError(this.code, `${this.path} must be a finite number.`)
    }
    return this.value
  }

  asNumbers(): number[] {
    if (!Array.isArray(this.value) || !this.value.every(Number.isFinite)) {
      throw new SplitComputeError(this.code, `${this.path} must be a list of finite numbers.`)
    }
    return this.value as number[]
  }

  #whole(name: Name<T>, largest: number): number {
    const { value } = this.#member(name)
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > largest) {
      return this.fail(name, `must be a whole number of at most ${largest}`)
    }
    return value
  }

  #member(name: Name<T>): JsonReader {
    const members = this.#members()
    if (!Object.hasOwn(members, name)) {
      return this.fail(name, 'is missing')
    }
    return new JsonReader(members[name], `${this.path}: ${name}`, this.code)
  }

  #members(): Record<string, unknown> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) {
      throw new SplitComputeError(this.code, `${this.path} must be an object.`)
    }
    return this.value as Record<string, unknown>
  }
}
