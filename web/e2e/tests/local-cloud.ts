import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const LOCAL_JAR =
  process.env.SPLITCOMPUTE_LOCAL_JAR ??
  fileURLToPath(new URL('../../../functions/local/target/splitcompute-local.jar', import.meta.url))
const BUILT_SDK = fileURLToPath(new URL('../../sdk/dist/splitcompute.js', import.meta.url))
const READY = /SplitCompute is ready at (http:\/\/127\.0\.0\.1:\d+)/
const START_MS = 120_000
const STOP_MS = 15_000

/** The local cloud in a process of its own: API, site and SDK at `url`, S3 at another. */
export class LocalCloud {
  private constructor(
    readonly url: string,
    private readonly process: ChildProcess,
  ) {}

  /** @param models folders and names; `bookworm` alone by default */
  static async start(
    environment: Readonly<Record<string, string>> = {},
    models: readonly string[] = [],
  ): Promise<LocalCloud> {
    if (!existsSync(LOCAL_JAR)) {
      throw new Error(`${LOCAL_JAR} is missing: build it with \`./mvnw -DskipTests package\`.`)
    }
    const child = spawn(
      'java',
      ['-jar', LOCAL_JAR, '--port', '0', ...models.flatMap((model) => ['--model', model])],
      {
        env: { ...process.env, ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let output = ''
    const url = await new Promise<string>((resolve, reject) => {
      const fail = (why: string) => {
        child.kill('SIGKILL')
        reject(new Error(`The local cloud ${why}:\n${output}`))
      }
      const timer = setTimeout(() => fail('was not ready in time'), START_MS)
      const read = (chunk: Buffer) => {
        output += chunk.toString()
        const address = READY.exec(output)?.[1]
        if (address !== undefined) {
          clearTimeout(timer)
          resolve(address)
        }
      }
      child.stdout.on('data', read)
      child.stderr.on('data', read)
      child.once('exit', (code) => {
        clearTimeout(timer)
        fail(`ended with ${code}`)
      })
    })
    const cloud = new LocalCloud(url, child)
    try {
      await cloud.requireBuiltSdk()
    } catch (error) {
      await cloud.stop()
      throw error
    }
    return cloud
  }

  /** Pages take the SDK from the jar: with an older one in it, a test or a proof would be of another version than it says. */
  private async requireBuiltSdk(): Promise<void> {
    const response = await fetch(new URL('/sdk/splitcompute.js', this.url))
    if ((await response.text()) !== readFileSync(BUILT_SDK, 'utf8')) {
      throw new Error(
        `${LOCAL_JAR} holds another SDK than web/sdk/dist: build both with \`./mvnw -DskipTests package\`.`,
      )
    }
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) {
      return
    }
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGTERM')
    const timer = setTimeout(() => this.process.kill('SIGKILL'), STOP_MS)
    await ended
    clearTimeout(timer)
  }
}
