const CACHE = 'splitcompute-manifests'

/** Keeps a manifest for a visit without a network. */
export async function keepManifest(url: URL, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    const cache = await caches.open(CACHE)
    await cache.put(url, new Response(bytes))
  } catch {
    // A convenience: it needs a secure page and room on the disk.
  }
}

/** The manifest that was kept last, or undefined. */
export async function keptManifest(url: URL): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const cache = await caches.open(CACHE)
    const response = await cache.match(url)
    return response && new Uint8Array(await response.arrayBuffer())
  } catch {
    return undefined
  }
}

export async function forgetManifests(): Promise<void> {
  if (typeof caches !== 'undefined') {
    await caches.delete(CACHE).catch(() => false)
  }
}
