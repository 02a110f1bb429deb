import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

export default defineConfig({
  // Relative, so that the site works at any path.
  base: './',
  resolve: {
    // The SDK's built file: the site stands on what is published, not on the sources.
    alias: { splitcompute: fileURLToPath(new URL('../sdk/dist/splitcompute.js', import.meta.url)) },
  },
  build: { target: 'es2022', modulePreload: false, emptyOutDir: true },
})
