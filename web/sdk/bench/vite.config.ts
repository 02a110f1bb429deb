import { defineConfig } from 'vite'
import { wgsl } from '../wgsl-plugin.ts'

/** The programs for Node, each with all that it needs but WebGPU itself and onnxruntime's WebAssembly. */
export default defineConfig({
  plugins: [wgsl()],
  root: import.meta.dirname,
  ssr: { noExternal: true, external: ['webgpu'] },
  build: {
    ssr: true,
    target: 'node20',
    minify: false,
    rollupOptions: {
      // Two of the peers hold an eval that the bench does not reach.
      checks: { eval: false },
      input: { accuracy: 'src/accuracy.ts', bench: 'src/bench.ts' },
      output: { entryFileNames: '[name].mjs', format: 'es' },
    },
  },
})
