import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Whether tests run at full counts, and write what they found. */
export const PROVE = process.env.SPLITCOMPUTE_PROVE === '1'

/** What a test may take that computes on the CPU what a GPU would. */
export const COMPUTING_MS = PROVE ? 3_600_000 : 300_000

const ROOT = new URL('../../../', import.meta.url)

/** Writes to `docs/proofs` what a run at full counts found; another leaves the file as it is. */
export function writeProof(file: string, proof: object | string): void {
  if (PROVE) {
    const folder = new URL('docs/proofs/', ROOT)
    mkdirSync(folder, { recursive: true })
    const text = typeof proof === 'string' ? proof : JSON.stringify(proof, null, 2)
    writeFileSync(new URL(file, folder), `${text}\n`)
  }
}

/** The commit that is checked out, with `-dirty` where a file that it knows is another one by now. */
export function version(): string {
  return execFileSync('git', ['describe', '--always', '--dirty'], { cwd: ROOT, encoding: 'utf8' }).trim()
}

/** Where a file or folder of the fixtures is. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`fixtures/${path}`, ROOT))
}

export function fixtureJson<T>(path: string): T {
  return JSON.parse(readFileSync(fixture(path), 'utf8')) as T
}

/** The values of a file with one a line. */
export function fixtureLines<T>(path: string): T[] {
  const lines = readFileSync(fixture(path), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as T)
}
