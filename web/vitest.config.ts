import { defineConfig } from 'vitest/config'
import { vulkanEnvironment } from './browser/chromium.ts'
import { sourceModules } from './sdk/modules-plugin.ts'
import { wgsl } from './sdk/wgsl-plugin.ts'

// The dynamic loader reads LD_LIBRARY_PATH when a process starts, so it must be set before the workers are forked.
Object.assign(process.env, vulkanEnvironment())

export default defineConfig({
  plugins: [wgsl(), sourceModules()],
  test: {
    include: ['sdk/tests/**/*.test.ts', 'site/tests/**/*.test.ts'],
    globalSetup: ['sdk/tests/shards.setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
  },
})
