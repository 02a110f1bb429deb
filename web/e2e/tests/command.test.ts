import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { LOCAL_JAR } from './local-cloud.ts'

const FIXTURES = fileURLToPath(new URL('../../../fixtures', import.meta.url))
const READY = /^SplitCompute is ready at (http:\/\/127\.0\.0\.1:\d+)$/m
const STOP_MS = 10_000

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly milliseconds: number
}

/** The local cloud's command line in a process of its own. */
class Command {
  stdout = ''
  stderr = ''
  readonly ended: Promise<Ended>
  readonly #process: ChildProcess

  constructor(...args: string[]) {
    const started = performance.now()
    this.#process = spawn('java', ['-jar', LOCAL_JAR, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString()
    })
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString()
    })
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code, signal) =>
        resolve({ code, signal, milliseconds: performance.now() - started }),
      )
    })
  }

  /** The address that the ready line names. */
  async ready(): Promise<string> {
    let over = false
    this.ended.then(() => {
      over = true
    })
    while (!over) {
      const url = READY.exec(this.stdout)?.[1]
      if (url !== undefined) {
        return url
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`The local cloud ended:\n${this.stdout}${this.stderr}`)
  }

  async stop(signal: NodeJS.Signals): Promise<Ended> {
    const asked = performance.now()
    this.#process.kill(signal)
    return { ...(await this.ended), milliseconds: performance.now() - asked }
  }
}

describe('the local cloud’s command line', () => {
  const left: (() => Promise<unknown>)[] = []

  afterEach(async () => {
    for (const cleanUp of left.splice(0).reverse()) {
      await cleanUp()
    }
  })

  function run(...args: string[]): Command {
    const command = new Command(...args)
    left.push(() => command.stop('SIGKILL'))
    return command
  }

  async function folder(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'splitcompute-test-'))
    left.push(() => rm(path, { recursive: true, force: true }))
    return path
  }

  async function takenPort(): Promise<number> {
    const server: Server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    left.push(() => new Promise((resolve) => server.close(resolve)))
    return (server.address() as { port: number }).port
  }

  it('shouldStopWithinTenSecondsOnSigtermAndStartAgainFromItsData', async () => {
    const data = await folder()
    const first = run('--port', '0', '--data', data)
    const url = await first.ready()
    expect((await fetch(`${url}/health`)).status).toBe(200)
    const ended = await first.stop('SIGTERM')
    expect([0, 128 + 15]).toContain(ended.code)
    expect(ended.milliseconds).toBeLessThan(STOP_MS)
    expect(first.stderr).toContain('Sharding bookworm')

    const second = run('--port', '0', '--data', data)
    await second.ready()
    expect(second.stderr).not.toContain('Sharding')
    expect([0, 128 + 2]).toContain((await second.stop('SIGINT')).code)
  })

  it('shouldServeFoldersInsteadOfTheDefaultUnderTheirNames', async () => {
    const command = run('--port', '0', '--model', `${FIXTURES}/gpt2-plain`, '--model', 'bookworm')
    const url = await command.ready()
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as {
      data: { id: string; dtypes: string[] }[]
    }
    expect(data.map(({ id }) => id).sort()).toEqual(['bookworm', 'gpt2-plain'])
    for (const { dtypes } of data) {
      expect(dtypes).toEqual(expect.arrayContaining(['f32', 'f16']))
    }
    const text = await fetch(`${url}/v1/embed`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'gpt2-plain', input: 'It has no tokenizer.' }),
    })
    expect(text.status).toBe(400)
    expect(await text.json()).toMatchObject({ field: 'input', detail: expect.stringContaining('tokenizer') })
  })

  it('shouldSayInOneLineThatAPortIsTaken', async () => {
    const port = await takenPort()
    const command = run('--port', String(port))
    expect((await command.ended).code).toBe(1)
    expect(command.stderr.trim().split('\n')).toHaveLength(1)
    expect(command.stderr).toContain(`port ${port}`)
    expect(command.stderr).toContain('--port')
  })

  it('shouldSayInOneLineThatAModelIsNotThere', async () => {
    const command = run('--port', '0', '--model', 'no-such-model')
    expect((await command.ended).code).toBe(1)
    expect(command.stderr.trim().split('\n')).toHaveLength(1)
    expect(command.stderr).toContain('no-such-model')
  })

  it('shouldRefuseAnUnknownOptionWithItsUsage', async () => {
    const command = run('--prot', '0')
    expect((await command.ended).code).toBe(2)
    expect(command.stderr).toContain('--port')
  })

  it('shouldExplainItsOptions', async () => {
    const command = run('--help')
    expect((await command.ended).code).toBe(0)
    for (const option of ['--port', '--model', '--data', '--host', '--help']) {
      expect(command.stdout).toContain(option)
    }
  })
})
