/** Gives Node the WebGPU of a browser, where it has none: `navigator.gpu` and the constants, from Dawn. */
export async function installWebGpu(): Promise<void> {
  const { gpu } = (globalThis.navigator ?? {}) as Partial<Navigator>
  if (gpu !== undefined) {
    return
  }
  const { create, globals } = await import('webgpu')
  Object.assign(globalThis, globals)
  acceptSharedMemory()
  mapIterators()
  // Libraries ask the browser's name, which Node has from version 21 on.
  const { userAgent = `Node.js/${process.versions.node}` } = (globalThis.navigator ??
    {}) as Partial<Navigator>
  Object.defineProperty(globalThis, 'navigator', {
    value: { userAgent, gpu: create([]) },
    configurable: true,
  })
}

/** A browser copies from shared memory, as that of threaded WebAssembly is; Dawn for Node refuses it. */
function acceptSharedMemory(): void {
  const { writeBuffer } = GPUQueue.prototype
  GPUQueue.prototype.writeBuffer = function (buffer, offset, data, dataOffset, size) {
    if (ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      return writeBuffer.call(this, buffer, offset, Uint8Array.from(bytes), dataOffset, size)
    }
    return writeBuffer.call(this, buffer, offset, data, dataOffset, size)
  }
}

/** jax-js maps iterators, which Node can from version 22 on. */
function mapIterators(): void {
  const iterators = Object.getPrototypeOf(Object.getPrototypeOf([].values())) as object
  if (!('map' in iterators)) {
    const map = function* (this: Iterable<unknown>, to: (value: unknown) => unknown) {
      for (const value of this) {
        yield to(value)
      }
    }
    const filter = function* (this: Iterable<unknown>, keep: (value: unknown) => boolean) {
      for (const value of this) {
        if (keep(value)) {
          yield value
        }
      }
    }
    Object.assign(iterators, { map, filter })
  }
}
