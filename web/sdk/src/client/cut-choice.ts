import { SplitComputeError } from '../errors'
import { Deadline } from './deadline'
import type { Fallback } from './embedding'
import type { Loader } from './loader'
import type { Pace } from './pace'

/** How much of a call's time an ordered cut may wait for its layers: the rest is for the cloud's answer. */
const WAITING_SHARE = 0.75

/** The cut that a request is to take. */
export interface Choice {
  readonly cut: number
  /** Why it is not the one that was asked for, or that the layers on the device allow. */
  readonly reason: string | undefined
}

/** Chooses the cut of each request by what has loaded and how the device is. */
export class CutChoice {
  constructor(
    private readonly layers: number,
    private readonly loader: Loader,
    private readonly pace: Pace,
    private readonly onFallback: (fallback: Fallback) => void,
  ) {}

  /** The cut that a request takes now. */
  get now(): number {
    return this.restReason === undefined ? this.loader.cut : this.layers
  }

  /** Why the device runs nothing for now, though its layers are there. */
  get restReason(): string | undefined {
    if (globalThis.document?.visibilityState === 'hidden') {
      return 'The page is hidden.'
    }
    return this.pace.resting ? 'The device was slow and rests.' : undefined
  }

  /** @throws SplitComputeError `invalid_argument` for an order that the model has no layer for */
  check(ordered: number | undefined): void {
    if (ordered !== undefined && (!Number.isInteger(ordered) || ordered < 0 || ordered > this.layers)) {
      throw new SplitComputeError(
        'invalid_argument',
        `"cut" must be a whole number from 0 to ${this.layers}.`,
      )
    }
  }

  /** Waits until the layers from an ordered cut on are here, or will not come in time. */
  async wait(ordered: number | undefined, deadline: Deadline): Promise<void> {
    deadline.signal.throwIfAborted()
    if (ordered === undefined) {
      return
    }
    const share = deadline.timeoutMs === undefined ? undefined : deadline.timeoutMs * WAITING_SHARE
    const waiting = new Deadline(deadline.signal, share)
    try {
      await this.loader.reached(ordered, waiting.signal)
    } catch {
      deadline.signal.throwIfAborted()
    } finally {
      waiting.release()
    }
  }

  /** @param ordered a cut that was waited for; without one a busy device is passed over */
  choose(ordered: number | undefined): Choice {
    return ordered === undefined ? this.#asItStands() : this.#asOrdered(ordered)
  }

  #asOrdered(ordered: number): Choice {
    const { now } = this
    if (now <= ordered) {
      return { cut: ordered, reason: undefined }
    }
    const reason = this.restReason ?? this.loader.progress.reason ?? 'the layers did not arrive in time.'
    return { cut: now, reason: `Cut ${ordered} was not possible: ${reason}` }
  }

  #asItStands(): Choice {
    const { cut: loaded } = this.loader
    const why = this.restReason ?? (this.pace.busy ? 'The device is busy.' : undefined)
    if (why === undefined || loaded === this.layers) {
      return { cut: loaded, reason: undefined }
    }
    const reason = `The cloud answered: ${why}`
    this.onFallback({ from: loaded, to: this.layers, reason })
    return { cut: this.layers, reason }
  }
}
