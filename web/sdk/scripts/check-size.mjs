import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

// What a page loads to begin with: the SDK's one file, its worker and kernels inlined.
const LIMIT_BYTES = 60_000
const bytes = gzipSync(readFileSync(new URL('../dist/splitcompute.js', import.meta.url)), {
  level: 9,
}).byteLength
console.log(`dist/splitcompute.js: ${bytes} bytes gzipped of at most ${LIMIT_BYTES}`)
if (bytes > LIMIT_BYTES) {
  process.exit(1)
}
