import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder in the layout of the store with every model of the tests, in every dtype. */
    store: string
  }
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..')
const jar = process.env.SPLITCOMPUTE_WEIGHTS_JAR ?? join(root, 'weights/target/splitcompute-weights.jar')

/** Shards the checkpoints of the fixtures with the real sharder, once for each build of it. */
export default function setup({ provide }: TestProject): void {
  if (process.env.SPLITCOMPUTE_TEST_STORE) {
    provide('store', process.env.SPLITCOMPUTE_TEST_STORE)
    return
  }
  if (!existsSync(jar)) {
    throw new Error(
      `The tests need shards: build the sharder first (./mvnw -DskipTests -pl weights package).`,
    )
  }
  const store = join(root, 'web/target', `store-${statSync(jar).mtimeMs}`)
  if (!existsSync(store)) {
    const unfinished = `${store}.unfinished`
    rmSync(unfinished, { recursive: true, force: true })
    mkdirSync(unfinished, { recursive: true })
    for (const folder of checkpoints()) {
      const { status, stderr } = spawnSync(
        'java',
        ['-jar', jar, 'shard', folder, '--out', unfinished, '--dtype', 'f32,f16,q8,q4'],
        { encoding: 'utf8' },
      )
      if (status !== 0) {
        throw new Error(`The sharder failed on ${folder}: ${stderr}`)
      }
    }
    renameSync(unfinished, store)
  }
  provide('store', store)
}

function checkpoints(): string[] {
  const fixtures = join(root, 'fixtures')
  const models = readdirSync(fixtures).filter((name) => /^(gpt2|bert)-/.test(name))
  const bookworm = join(root, 'functions/local/src/main/resources/models/bookworm')
  return [...models.map((name) => join(fixtures, name)), bookworm]
}
