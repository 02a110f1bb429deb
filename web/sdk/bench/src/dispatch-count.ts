/** Dispatches that `work` records, whatever library it is; nothing counts outside it, for that would take time from who records. */
export async function countDispatches(work: () => Promise<void>): Promise<number> {
  const passes = GPUComputePassEncoder.prototype
  const { dispatchWorkgroups, dispatchWorkgroupsIndirect } = passes
  let count = 0
  passes.dispatchWorkgroups = function (...grid) {
    count++
    return dispatchWorkgroups.apply(this, grid)
  }
  passes.dispatchWorkgroupsIndirect = function (...source) {
    count++
    return dispatchWorkgroupsIndirect.apply(this, source)
  }
  try {
    await work()
  } finally {
    Object.assign(passes, { dispatchWorkgroups, dispatchWorkgroupsIndirect })
  }
  return count
}
