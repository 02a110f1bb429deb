import { defineConfig } from 'vitest/config'
import { vulkanEnvironment } from './browser/chromium.ts'
import { sourceModules } from './sdk/modules-plugin.ts'
import { wgsl } from './sdk/wgsl-plugin.ts'

// The dynamic loader reads LD_LIBRARY_PATH when a process starts, so it must be set before the workers are forked.
Object.assign(process.env, vulkanEnvironment())

/** Proofs run the engine's tests twice: with WebGPU's default limits, and with all that the adapter offers. */
const projects = [
  { extends: true as const, test: { name: 'default limits' } },
  {
    extends: true as const,
    test: {
      name: 'offered limits',
      include: ['sdk/tests/engine/**/*.test.ts'],
      env: { SPLITCOMPUTE_LIMITS: 'offered' },
    },
  },
]

export default defineConfig({
  plugins: [wgsl(), sourceModules()],
  test: {
    include: ['sdk/tests/**/*.test.ts', 'site/tests/**/*.test.ts'],
    globalSetup: ['sdk/tests/shards.setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    ...(process.env.SPLITCOMPUTE_PROVE ? { projects } : {}),
  },
})
