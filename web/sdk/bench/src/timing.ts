/** Waits until the GPU has done all that was submitted to it. */
export function idle(device: GPUDevice): Promise<undefined> {
  return device.queue.onSubmittedWorkDone()
}

export interface Pace {
  /** Measurements of which the median counts. */
  readonly repeats: number
  /** Milliseconds that one measurement of queued calls should take. */
  readonly milliseconds: number
}

/** Calls that a measurement queues at most: the queue's memory is not endless. */
const MOST_CALLS = 512

/**
 * Milliseconds of one call, when calls are queued and waited for once: the median of several measurements, each of as many `calls` as
 * take about the pace's time.
 *
 * @param queue runs so many calls and waits once
 */
export async function queuedMilliseconds(
  queue: (calls: number) => Promise<void>,
  { repeats, milliseconds }: Pace,
): Promise<{ milliseconds: number; calls: number }> {
  let calls = 1
  let took = await elapsed(() => queue(calls))
  while (took < milliseconds / 4 && calls < MOST_CALLS) {
    calls = Math.min(MOST_CALLS, calls * 4)
    took = await elapsed(() => queue(calls))
  }
  const wanted = Math.min(MOST_CALLS, Math.max(1, Math.round((calls * milliseconds) / took)))
  // On a slow device the trial is long enough to be a measurement itself.
  const first = wanted === calls ? [took] : []
  const median = await medianMilliseconds(() => queue(wanted), repeats, first)
  return { milliseconds: median / wanted, calls: wanted }
}

export async function medianMilliseconds(
  work: () => Promise<void>,
  repeats: number,
  first: readonly number[] = [],
): Promise<number> {
  const times = [...first]
  while (times.length < repeats) {
    times.push(await elapsed(work))
  }
  return times.sort((a, b) => a - b)[Math.floor(repeats / 2)] ?? Number.NaN
}

async function elapsed(work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}
