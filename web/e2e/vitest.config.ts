import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    // One browser at a time: each computes on the CPU what a GPU would.
    fileParallelism: false,
    // Of the storm, in which pages wait most of the time.
    maxConcurrency: 3,
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
})
