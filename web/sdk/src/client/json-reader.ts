import { type ErrorCode, SplitComputeError } from '../errors'

const LARGEST = 2 ** 31 - 1

/** Reads JSON that is not trusted: what is missing or of another type is an error that names the member. */
export class JsonReader {
  private constructor(
    private readonly value: unknown,
    private readonly path: string,
    private readonly code: ErrorCode,
  ) {}

  /**
   * @param subject how an error's sentence begins
   * @throws SplitComputeError `code` for what is not UTF-8 or not JSON
   */
  static parse(bytes: Uint8Array, code: ErrorCode, subject: string): JsonReader {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
      return new JsonReader(JSON.parse(text), subject, code)
    } catch (cause) {
      throw new SplitComputeError(code, `${subject} is not JSON.`, { cause })
    }
  }

  fail(name: string, what: string): never {
    throw new SplitComputeError(this.code, `${this.path}: "${name}" ${what}.`)
  }

  object(name: string): JsonReader {
    const member = this.#member(name)
    member.#members()
    return member
  }

  list(name: string): JsonReader[] {
    const { value, path, code } = this.#member(name)
    if (!Array.isArray(value)) {
      return this.fail(name, 'must be a list')
    }
    return value.map((item: unknown, i) => new JsonReader(item, `${path}[${i}]`, code))
  }

  string(name: string): string {
    return this.#member(name).asString()
  }

  boolean(name: string): boolean {
    const { value } = this.#member(name)
    return typeof value === 'boolean' ? value : this.fail(name, 'must be true or false')
  }

  choice<T extends string>(name: string, choices: readonly T[]): T {
    const found = choices.find((choice) => choice === this.#member(name).value)
    return found ?? this.fail(name, `must be one of ${choices.join(', ')}`)
  }

  /** A whole number from 1 to 2^31 - 1. */
  size(name: string): number {
    const size = this.count(name)
    return size > 0 ? size : this.fail(name, 'must be positive')
  }

  /** A whole number from 0 to 2^31 - 1. */
  count(name: string): number {
    const { value } = this.#member(name)
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > LARGEST) {
      return this.fail(name, `must be a whole number of at most ${LARGEST}`)
    }
    return value
  }

  /** A finite number greater than zero. */
  positive(name: string): number {
    const value = this.#member(name).asFinite()
    return value > 0 ? value : this.fail(name, 'must be greater than zero')
  }

  /** A SHA-256 in lower-case hex. */
  hash(name: string): string {
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

  #member(name: string): JsonReader {
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
