/** No run is called slow before this. */
const SLOW_MS = 2_000
/** A run is slow at so many times its estimate. */
const SLOW_FACTOR = 4
/** Slow runs in a row after which the device rests, and for how long. */
const SLOW_RUNS = 3
const REST_MS = 30_000
/** The first runs on a device compile and warm up: nobody knows their time. Where the device was ordered they get this much. */
const FIRST_RUN_MS = 15_000
/** Weight of the newest figure in a mean. */
const NEWEST = 0.3
/** What a layer costs besides its tokens, in tokens: launching its kernels. */
const OVERHEAD_TOKENS = 16

/** A run under way on the device. */
export interface PacedRun {
  /** After so many milliseconds it is slow. */
  readonly limitMs: number
  /**
   * It ended with a result, be it late.
   *
   * @param disturbed other work of the device had its turn meanwhile: nothing is learnt from it
   */
  done(disturbed: boolean): void
  /** It ended in an error, or was aborted: nothing is learnt from it. */
  failed(): void
  /**
   * It is not waited for any more; the device still has it.
   *
   * @param slow it had all of its limit, undisturbed
   */
  late(slow: boolean): void
}

/** A request's place in the device's queue, from the moment on at which the device is chosen for it. */
export interface Claim {
  /** Its run begins, with so many tokens. */
  begin(tokens: number): PacedRun
  /** The request is over: without a run that is still under way, it waits no more. */
  release(): void
}

interface Queued {
  work: number
  /** When its run began; before, the cloud has the request. */
  begun: number | undefined
  /** Since when nobody waits for it, though the device has not ended it. */
  late: number | undefined
}

/** How fast device and cloud have been of late: tells when a run is slow, and when the cloud is faster than the queue. */
export class Pace {
  #msPerWork: number | undefined
  #cloudMs: number | undefined
  /** The first run is over. */
  #warm = false
  /** When a run ended last: runs go one after the other. */
  #ended = 0
  readonly #queue = new Set<Queued>()
  #slowInARow = 0
  /** When a run was last called slow. */
  #calledSlow = Number.NEGATIVE_INFINITY
  #rest: ReturnType<typeof setTimeout> | undefined

  /** @param onChange told when the device goes to rest and when it is back */
  constructor(private readonly onChange: () => void) {}

  /** Three slow runs in a row: the device is left alone for a while. */
  get resting(): boolean {
    return this.#rest !== undefined
  }

  /** What is queued on the device takes longer than the cloud takes for everything, or nobody knows how long. */
  get busy(): boolean {
    // A device that never ends one is tried again after a while.
    const since = performance.now() - REST_MS
    const stuck = [...this.#queue].some(({ late }) => late !== undefined && late > since)
    return stuck || (this.#cloudMs !== undefined && this.#queueMs() > this.#cloudMs)
  }

  /** How many tokens so many layers run in a time, by the speed of late; undefined before any run. */
  tokensIn(milliseconds: number, layers: number): number | undefined {
    const msPerWork = this.#msPerWork
    return msPerWork && Math.floor(milliseconds / (msPerWork * (layers + 1))) - OVERHEAD_TOKENS
  }

  /** When a cloud that has not answered is slow, in milliseconds. */
  get cloudLimitMs(): number {
    return Math.max(SLOW_MS, SLOW_FACTOR * (this.#cloudMs ?? 0))
  }

  /**
   * @param tokens a guess, for the cloud may still be the one that counts them
   * @param ordered the caller wants the device to answer, though the cloud may be faster
   */
  claim(tokens: number, layers: number, ordered: boolean): Claim {
    const queued: Queued = { work: workOf(tokens, layers), begun: undefined, late: undefined }
    this.#queue.add(queued)
    return {
      begin: (counted) => {
        queued.work = workOf(counted, layers)
        return this.#begin(queued, ordered)
      },
      release: () => {
        if (queued.begun === undefined) {
          this.#queue.delete(queued)
        }
      },
    }
  }

  #begin(queued: Queued, ordered: boolean): PacedRun {
    const first = this.#msPerWork === undefined
    const begun = performance.now()
    queued.begun = begun
    const limitMs = first && ordered ? FIRST_RUN_MS : Math.max(SLOW_MS, SLOW_FACTOR * this.#queueMs())
    return {
      limitMs,
      done: (disturbed) => {
        // One of a device that was there before tells nothing of this one.
        if (!this.#queue.delete(queued)) {
          return
        }
        const now = performance.now()
        const ms = now - Math.max(begun, this.#ended)
        this.#ended = now
        if (queued.late === undefined) {
          this.#slowInARow = 0
        }
        if (!disturbed) {
          this.#learn(ms / queued.work)
        }
      },
      failed: () => {
        this.#queue.delete(queued)
      },
      late: (slow) => {
        const now = performance.now()
        queued.late = now
        // Runs that waited together for one thing are slow once.
        if (slow && !first && begun >= this.#calledSlow) {
          this.#calledSlow = now
          if (++this.#slowInARow >= SLOW_RUNS) {
            this.#beginRest()
          }
        }
      },
    }
  }

  #learn(msPerWork: number): void {
    if (this.#warm) {
      this.#msPerWork = mean(this.#msPerWork, msPerWork)
    }
    this.#warm = true
  }

  cloudTook(ms: number): void {
    this.#cloudMs = mean(this.#cloudMs, ms)
  }

  /** Another device: its speed is unknown, and it need not rest for what the one before did. */
  reset(): void {
    this.close()
    this.#msPerWork = undefined
    this.#warm = false
    this.#slowInARow = 0
    this.#queue.clear()
  }

  close(): void {
    clearTimeout(this.#rest)
    this.#rest = undefined
  }

  /** What the queue still takes: its work by the speed of late, less the time that its oldest run has had; late runs apart. */
  #queueMs(): number {
    let [work, oldest] = [0, Number.POSITIVE_INFINITY]
    for (const queued of [...this.#queue].filter(({ late }) => late === undefined)) {
      work += queued.work
      oldest = Math.min(oldest, queued.begun ?? oldest)
    }
    const had = Number.isFinite(oldest) ? performance.now() - oldest : 0
    return Math.max(0, work * (this.#msPerWork ?? 0) - had)
  }

  #beginRest(): void {
    this.#slowInARow = 0
    clearTimeout(this.#rest)
    this.#rest = setTimeout(() => {
      this.#rest = undefined
      this.onChange()
    }, REST_MS)
    this.onChange()
  }
}

function workOf(tokens: number, layers: number): number {
  return (layers + 1) * (tokens + OVERHEAD_TOKENS)
}

function mean(before: number | undefined, newest: number): number {
  return before === undefined ? newest : before + NEWEST * (newest - before)
}
