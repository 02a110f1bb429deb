import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Engine } from './engines/engine'
import { jax } from './engines/jax'
import { onnxruntimeWeb } from './engines/onnxruntime'
import { splitcompute } from './engines/splitcompute'
import { webgpuTorch } from './engines/webgpu-torch'
import { measure, type Report } from './measure'
import { installWebGpu } from './node-webgpu'
import { HELP, readOptions, UsageError } from './options'
import { tableHeading, tableLine } from './table'

const WASM = 'ort-wasm-simd-threaded.asyncify.wasm'

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  if (options === undefined) {
    process.stdout.write(HELP)
    return
  }
  await installWebGpu()
  const here = dirname(fileURLToPath(import.meta.url))
  const wasm = async () => {
    const { buffer, byteOffset, byteLength } = await readFile(join(here, WASM))
    return (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength)
  }
  const all: Engine[] = [
    splitcompute,
    onnxruntimeWeb(wasm, 'MatMul'),
    onnxruntimeWeb(wasm, 'Gemm'),
    jax,
    webgpuTorch,
  ]
  const engines = all.filter(({ name }) => options.engines.includes(name))
  const machine = options.machine ?? `${cpus()[0]?.model.trim()}, ${cpus().length} cores`
  console.log(tableHeading())
  const { pace, cases } = options
  const report = await measure({ machine, engines, cases, pace }, (row, soFar) => {
    console.log(tableLine(row))
    write(options.out, soFar)
  })
  write(options.out, report)
  console.log(`${report.machine}; ${report.adapter}`)
}

/** Never half a file: a report is kept whatever ends the run. */
function write(file: string | undefined, report: Report): void {
  if (file === undefined) {
    return
  }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.part`, `${JSON.stringify(report, undefined, 1)}\n`)
  renameSync(`${file}.part`, file)
}

try {
  await main()
  // Dawn's threads keep the process alive.
  process.exit(0)
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message} (--help tells more)` : error)
  process.exit(error instanceof UsageError ? 2 : 1)
}
