/**
 * What went wrong, stable across versions:
 *
 * - `invalid_argument`: the caller's option or input; `message` names it
 * - `unknown_dtype`: the manifest has no variant of the asked dtype
 * - `invalid_manifest`, `unsupported_model`: the manifest breaks its format, or asks for what this version cannot run
 * - `invalid_message`: an answer of the API that breaks its format
 * - `refused`: the API refused the request; `status`, `type` and `field` repeat the problem document
 * - `unreachable`: no answer from the cloud, or one that asks to come back later
 * - `timeout`: the call's time is over
 * - `closed`: `close()` was called
 * - `partial_failure`: of a list's inputs some have no answer; the error is a `PartialFailure`
 * - `no_webgpu`: this browser, or this device, has no WebGPU
 * - `device_lost`: the GPU was taken away
 * - `out_of_memory`: the GPU, or the budget `memory`, has no room
 * - `limit_exceeded`: a tensor or a buffer is larger than the GPU can bind
 * - `invalid_shard`: a shard breaks its format
 * - `shard_refused`: the bytes of a shard are not the ones that the manifest names
 * - `canary_failed`: a unit's canary came out wrong on this device, or a kernel does not compile there
 * - `download_limit`: what is still to be downloaded exceeds the limit of the page or of the connection
 * - `wrong_result`: the device computed something that cannot be right
 */
export type ErrorCode =
  | 'invalid_argument'
  | 'unknown_dtype'
  | 'invalid_manifest'
  | 'unsupported_model'
  | 'invalid_message'
  | 'refused'
  | 'unreachable'
  | 'timeout'
  | 'closed'
  | 'partial_failure'
  | 'no_webgpu'
  | 'device_lost'
  | 'out_of_memory'
  | 'limit_exceeded'
  | 'invalid_shard'
  | 'shard_refused'
  | 'canary_failed'
  | 'download_limit'
  | 'wrong_result'

export interface Problem {
  readonly status: number
  /** The problem's type, a URI that is stable across versions. */
  readonly type: string
  /** The member of the request that is wrong, where the API named one. */
  readonly field?: string
}

/** Every failure that this package reports itself. An abort rejects with the signal's own reason instead. */
export class SplitComputeError extends Error {
  override readonly name = 'SplitComputeError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: { cause?: unknown; problem?: Problem } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.problem = options.problem
  }

  /** The problem document behind `refused`. */
  readonly problem: Problem | undefined
}

/** A list of which some inputs have no answer. Those that have one have cost their time already: they come along. */
export class PartialFailure<Answer = unknown> extends SplitComputeError {
  /**
   * @param answers those that succeeded, by the index of their input
   * @param failures why each other input has no answer, by its index: `refused` or `invalid_argument` for an input that cannot
   *   be embedded, `timeout` or whatever ended the call for those that were not reached
   */
  constructor(
    readonly answers: ReadonlyMap<number, Answer>,
    readonly failures: ReadonlyMap<number, unknown>,
  ) {
    const [first] = [...failures].sort(([a], [b]) => a - b)
    super(
      'partial_failure',
      `${failures.size} of ${failures.size + answers.size} inputs have no answer; input ${first?.[0]}: ${sentence(first?.[1])}`,
      { cause: first?.[1] },
    )
  }
}

/** A GPU's values that are NaN or infinite. */
export function notFinite(): SplitComputeError {
  return new SplitComputeError('wrong_result', 'The GPU computed values that are not finite.')
}

/** The error as a sentence for people. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
