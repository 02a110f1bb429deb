// Installs what the bench alone needs, builds it, and runs one of its programs on the adapter that is asked for.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { build, runnerImport } from 'vite'

const here = import.meta.dirname
const [program, ...args] = process.argv.slice(2)
const wasm = 'ort-wasm-simd-threaded.asyncify.wasm'

function run(command, parameters, options) {
  const { status, error } = spawnSync(command, parameters, { stdio: 'inherit', ...options })
  if (error !== undefined) {
    throw error
  }
  return status ?? 1
}

function prepare() {
  const installed = existsSync(join(here, 'node_modules/@huggingface/tokenizers'))
  return installed ? 0 : run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: here })
}

const failed = prepare()
if (failed !== 0) {
  process.exit(failed)
}
await build({ configFile: join(here, 'vite.config.ts'), logLevel: 'warn' })
copyFileSync(join(here, 'node_modules/onnxruntime-web/dist', wasm), join(here, 'dist', wasm))
if (program !== 'build') {
  const { module } = await runnerImport(join(here, '../../browser/chromium.ts'))
  const at = args.indexOf('--adapter')
  const adapter = at < 0 ? 'default' : args[at + 1]
  const environments = { default: module.vulkanEnvironment, swiftshader: module.swiftshaderEnvironment }
  const environment = environments[adapter]
  if (environment === undefined) {
    console.error(`--adapter must be one of ${Object.keys(environments).join(', ')}.`)
    process.exit(2)
  }
  // V8's optimising compiler takes minutes for onnxruntime's largest functions on a machine with few cores.
  const flags = adapter === 'swiftshader' ? ['--liftoff-only'] : []
  const status = run(process.execPath, [...flags, join(here, 'dist', `${program}.mjs`), ...args], {
    // Files are named as seen from where npm was called, not from web/.
    cwd: process.env.INIT_CWD ?? process.cwd(),
    env: { ...process.env, ...environment() },
  })
  process.exit(status)
}
