import { beforeAll, describe, expect, it } from 'vitest'
import { SplitCompute } from '../../src/split-compute'
import { cleanUpAfterEach, connect, SMALL, startCloud } from '../support/session'
import { readManifest } from '../support/store'
import { installWebGpu } from '../support/webgpu'

const TOKENS = [1, 2, 3]

beforeAll(installWebGpu)
cleanUpAfterEach()

describe('an option that is wrong', () => {
  it('shouldBeRefusedAtEveryCutAlike', async () => {
    const split = await connect(await startCloud())
    await split.ready
    for (const cut of [0, split.layers]) {
      await expect(split.embed(TOKENS, { cut, pooling: 'max' as 'mean' })).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining('pooling'),
      })
      await expect(split.embed(TOKENS, { cut, normalize: 'no' as unknown as boolean })).rejects.toMatchObject(
        { code: 'invalid_argument', message: expect.stringContaining('normalize') },
      )
    }
  })

  it('shouldBeNamedWhenModelOrEndpointIsLeftOut', async () => {
    const cloud = await startCloud()
    await expect(
      SplitCompute.connect({ endpoint: cloud.url } as { endpoint: string; model: string }),
    ).rejects.toMatchObject({ code: 'invalid_argument', message: expect.stringContaining('model') })
    await expect(
      SplitCompute.connect({ model: 'gpt2-plain' } as { endpoint: string; model: string }),
    ).rejects.toMatchObject({ code: 'invalid_argument', message: expect.stringContaining('endpoint') })
  })
})

describe('a hub’s name', () => {
  it('shouldLoseItsOwner', async () => {
    const split = await connect(await startCloud(), { model: 'someone/gpt2-plain' })
    expect(split.model).toBe('gpt2-plain')
  })
})

describe('a limit of what may be downloaded', () => {
  it('shouldEndTheLoadingWhereTheNextLayerWouldExceedIt', async () => {
    const { units } = readManifest(SMALL)
    const bytes = (unit: string) => units.get(unit)?.get('f32')?.bytes ?? 0
    const split = await connect(await startCloud(), { download: bytes('final') + bytes('layer.2') })
    expect(await split.ready).toBe(2)
    expect(split.progress).toMatchObject({
      phase: 'stopped',
      reason: expect.stringContaining('may be downloaded'),
    })
    expect((await split.embed(TOKENS)).cut).toBe(2)
  })
})

describe('the function headers', () => {
  it('shouldNotHoldUpACallBeyondItsTime', async () => {
    const cloud = await startCloud()
    let hang = false
    const headers = () => (hang ? new Promise<Record<string, string>>(() => undefined) : Promise.resolve({}))
    const split = await connect(cloud, { headers })
    await split.ready
    hang = true
    await expect(split.embed(TOKENS, { cut: split.layers, timeoutMs: 300 })).rejects.toMatchObject({
      code: 'timeout',
    })
  })

  it('shouldBeAskedAgainWhenItFails', async () => {
    const cloud = await startCloud()
    let calls = 0
    const headers = async () => {
      calls++
      if (calls % 2 === 1) {
        throw new Error('The token could not be renewed.')
      }
      return { Authorization: 'Bearer token' }
    }
    const split = await connect(cloud, { headers })
    expect(await split.ready).toBe(0)
    expect(calls).toBeGreaterThan(2)
  })
})

describe('close', () => {
  it('shouldBeCallableFromAListenerAndTwice', async () => {
    const split = await connect(await startCloud())
    const closed = new Promise<void>((resolve, reject) => {
      split.addEventListener('progress', () => {
        split.close().then(resolve, reject)
      })
    })
    await closed
    await split.close()
  })
})
