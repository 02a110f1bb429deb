import { defineConfig } from 'vite'
import { builtModules } from './modules-plugin.ts'
import { wgsl } from './wgsl-plugin.ts'

export default defineConfig({
  plugins: [wgsl(), builtModules()],
  build: {
    target: 'es2022',
    modulePreload: false,
    sourcemap: true,
    // Not Vite's library mode, which leaves white space in ES modules.
    rollupOptions: {
      input: 'src/index.ts',
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: 'splitcompute.js', format: 'es' },
    },
  },
})
