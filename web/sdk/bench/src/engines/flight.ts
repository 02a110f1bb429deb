/** Calls with a result of their own that wait at once; more would only take memory. */
const FLIGHT = 64

/** Makes so many calls, each without waiting for the one before. */
export async function inFlight(calls: number, call: (i: number) => Promise<unknown>): Promise<void> {
  for (let first = 0; first < calls; first += FLIGHT) {
    const count = Math.min(FLIGHT, calls - first)
    await Promise.all(Array.from({ length: count }, (_, i) => call(first + i)))
  }
}
