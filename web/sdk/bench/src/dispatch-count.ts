/** Counts the dispatches that anything on this page or in this process records, whatever library it is. */
export class DispatchCount {
  #count = 0

  /** From now on every compute pass is counted. */
  install(): void {
    const passes = GPUComputePassEncoder.prototype
    const { dispatchWorkgroups, dispatchWorkgroupsIndirect } = passes
    const count = () => {
      this.#count++
    }
    passes.dispatchWorkgroups = function (...grid) {
      count()
      return dispatchWorkgroups.apply(this, grid)
    }
    passes.dispatchWorkgroupsIndirect = function (...source) {
      count()
      return dispatchWorkgroupsIndirect.apply(this, source)
    }
  }

  /** Dispatches that `work` recorded. */
  async during(work: () => Promise<void>): Promise<number> {
    const before = this.#count
    await work()
    return this.#count - before
  }
}
