import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

const EVERY_MS = 20

/** Peaks in bytes. */
export interface Memory {
  /** Of `RssAnon` as sampled every 20 ms: heap, stacks, native memory; not the pages of mapped files. */
  readonly anonymous: number
  /** `VmHWM`, which counts the pages of mapped files too. */
  readonly resident: number
}

/** Samples a process's memory until it is asked for the peaks, which must be before the process ends. */
export function sampleMemory(pid: number): () => Memory {
  let anonymous = 0
  let resident = 0
  const sample = () => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      anonymous = Math.max(anonymous, field(status, 'RssAnon'))
      resident = Math.max(resident, field(status, 'VmHWM'))
    } catch {
      // It has ended.
    }
  }
  sample()
  const timer = setInterval(sample, EVERY_MS)
  return () => {
    sample()
    clearInterval(timer)
    return { anonymous, resident }
  }
}

/** Samples what the whole machine has in use, the file cache aside, until it is asked for the peak in bytes. */
export function sampleMachine(): () => number {
  let used = 0
  const sample = () => {
    const info = readFileSync('/proc/meminfo', 'utf8')
    used = Math.max(used, field(info, 'MemTotal') - field(info, 'MemAvailable'))
  }
  sample()
  const timer = setInterval(sample, EVERY_MS)
  return () => {
    sample()
    clearInterval(timer)
    return used
  }
}

/** A line of `/proc` in kilobytes; 0 where a process that ends has it no more. */
function field(text: string, name: string): number {
  return 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
}

/** Runs a command to its end and tells what it took; throws with its output unless it exits with 0. */
export async function runMeasured(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Memory & { readonly seconds: number; readonly output: string }> {
  const start = performance.now()
  const child = spawn(command, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const peaks = child.pid === undefined ? undefined : sampleMemory(child.pid)
  const code = await ended.finally(() => peaks?.())
  const text = Buffer.concat(output).toString()
  if (code !== 0 || peaks === undefined) {
    throw new Error(`${command} ended with ${code}:\n${text}`)
  }
  return { ...peaks(), seconds: (performance.now() - start) / 1_000, output: text }
}
