import { afterEach, describe, expect, it } from 'vitest'
import { SplitComputeError } from '../../src/errors'
import type { CutChange, Fallback, SplitCompute } from '../../src/index'
import { failing, problem } from '../support/fake-cloud'
import { type Behaviour, fakeDevices } from '../support/fake-device'
import { cleanUpAfterEach, connect, startCloud } from '../support/session'

cleanUpAfterEach()

const LAYERS = 3
const never = (signal: AbortSignal) =>
  new Promise<void>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

function fallbacks(split: SplitCompute): Fallback[] {
  const seen: Fallback[] = []
  split.addEventListener('fallback', ({ detail }) => seen.push(detail))
  return seen
}

/** Lets the device learn its speed: what it does first is not counted. */
async function warmUp(split: SplitCompute): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await split.embed([1, 2, 3])
  }
}

describe('a slow device', () => {
  it('shouldBeRelievedByTheCloudAndRestAfterThreeSlowRunsInARow', { timeout: 20_000 }, async () => {
    const behaviour: Behaviour = {}
    const { open } = fakeDevices(behaviour)
    const split = await connect(await startCloud(), {}, open)
    await split.ready
    await warmUp(split)
    behaviour.run = never
    const seen = fallbacks(split)
    const cuts: CutChange[] = []
    split.addEventListener('cut', ({ detail }) => cuts.push(detail))
    const start = performance.now()
    const answers = await Promise.all([1, 2, 3].map((token) => split.embed([token])))
    expect(performance.now() - start).toBeGreaterThan(1_900)
    expect(performance.now() - start).toBeLessThan(5_000)
    expect(answers.map(({ cut }) => cut)).toEqual([LAYERS, LAYERS, LAYERS])
    expect(seen).toEqual(
      Array(3).fill({ from: 0, to: LAYERS, reason: 'The cloud answered: The device was slow.' }),
    )
    expect(split.cut).toBe(LAYERS)
    expect(cuts).toEqual([{ from: 0, to: LAYERS, reason: 'The device was slow and rests.' }])
    // The weights stay.
    expect(split.progress.loaded).toBe(split.progress.units.reduce((sum, { loaded }) => sum + loaded, 0))
  })
})

describe('a busy device', () => {
  it('shouldBePassedOverAtOnceWhileItsQueueIsLongerThanTheCloudTakes', async () => {
    const behaviour: Behaviour = { run: () => pause(400).then(() => undefined) }
    const { open } = fakeDevices(behaviour)
    const split = await connect(await startCloud(), {}, open)
    await split.ready
    await warmUp(split)
    await split.embed([1], { cut: LAYERS })
    const queued = split.embed([1, 2, 3])
    const { cut, reason } = await split.embed([1, 2, 3])
    expect({ cut, reason }).toEqual({ cut: LAYERS, reason: 'The cloud answered: The device is busy.' })
    expect((await queued).cut).toBe(0)
  })
})

describe('a wrong device', () => {
  it('shouldLoseTheUnitsThatTheirCanariesRefute', async () => {
    const behaviour: Behaviour = {}
    const { open } = fakeDevices(behaviour)
    const split = await connect(await startCloud(), {}, open)
    await split.ready
    behaviour.run = () => {
      throw new SplitComputeError('wrong_result', 'The GPU computed values that are not finite.')
    }
    behaviour.wrongUnits = ['layer.1']
    const { cut, reason } = await split.embed([1, 2, 3])
    expect(cut).toBe(LAYERS)
    expect(reason).toBe('The cloud answered: The GPU computed values that are not finite.')
    await pause(20)
    expect(split.cut).toBe(2)
    expect(split.progress.units.find(({ name }) => name === 'layer.1')?.state).toBe('refused')
  })
})

describe('a lost device', () => {
  it('shouldBeAskedForAgainWithBackOffAndLeftAloneAfterThree', { timeout: 20_000 }, async () => {
    const { open, opened } = fakeDevices({})
    const split = await connect(await startCloud(), {}, open)
    for (let i = 0; i < 3; i++) {
      await split.embed([1], { cut: 0 })
      expect(split.cut).toBe(0)
      opened[i]?.lose({ what: 'gpu', reason: 'unplugged' })
      await expect(split.embed([1])).resolves.toBeDefined()
      await pause(20)
      expect(split.cut).toBe(LAYERS)
    }
    expect(split.progress).toMatchObject({
      phase: 'stopped',
      reason: 'The GPU was lost 3 times and is left alone.',
    })
    expect(opened).toHaveLength(3)
    expect(opened.every(({ closed }) => closed)).toBe(true)
  })
})

describe('a hidden page', () => {
  afterEach(() => {
    Reflect.deleteProperty(globalThis, 'document')
  })

  it('shouldBeAnsweredByTheCloudAndKeepItsLayers', async () => {
    const document = Object.assign(new EventTarget(), { visibilityState: 'visible' })
    Object.defineProperty(globalThis, 'document', { value: document, configurable: true })
    const { open, opened } = fakeDevices({})
    const split = await connect(await startCloud(), {}, open)
    await split.ready
    document.visibilityState = 'hidden'
    document.dispatchEvent(new Event('visibilitychange'))
    expect(split.cut).toBe(LAYERS)
    await expect(split.embed([1])).resolves.toMatchObject({ cut: LAYERS })
    document.visibilityState = 'visible'
    document.dispatchEvent(new Event('visibilitychange'))
    expect(split.cut).toBe(0)
    expect(opened).toHaveLength(1)
  })
})

describe('a silent cloud', () => {
  it('shouldNotBeWaitedForWhereTheDeviceHasAllLayers', async () => {
    const cloud = await startCloud()
    const { open } = fakeDevices({})
    const split = await connect(cloud, {}, open)
    await split.ready
    cloud.faults.push(({ path }) => path === '/v1/embed')
    const start = performance.now()
    const { cut, reason } = await split.embed([1, 2, 3], { cut: 2 })
    expect(performance.now() - start).toBeLessThan(6_000)
    expect({ cut, reason }).toEqual({
      cut: 0,
      reason: 'The device answered alone: The cloud does not answer.',
    })
  })
})

describe('the first request', () => {
  it('shouldBeOnItsWayBeforeAnythingIsOpened', async () => {
    const cloud = await startCloud()
    const { open, opened } = fakeDevices({})
    const split = await connect(cloud, {}, open)
    await pause(100)
    expect(opened).toHaveLength(0)
    const answering = split.embed([1])
    expect(opened).toHaveLength(0)
    await answering
    expect(opened).toHaveLength(1)
  })

  it('shouldNotBeWaitedForLongerThanAThirdOfASecond', async () => {
    const { open, opened } = fakeDevices({})
    await connect(await startCloud(), {}, open)
    await pause(450)
    expect(opened).toHaveLength(1)
  })
})

describe('an aborted request', () => {
  it('shouldLeaveNoRequestBehind', async () => {
    const cloud = await startCloud()
    // No tokenizer is here: a text needs the cloud.
    const { open } = fakeDevices({})
    const split = await connect(cloud, {}, open)
    await split.ready
    cloud.faults.push(failing('/v1/embed', 100, (response) => problem(response, 503, 'not-ready')))
    const controller = new AbortController()
    const answer = split.embed('text', { signal: controller.signal })
    await pause(50)
    controller.abort(new Error('enough'))
    await expect(answer).rejects.toThrow('enough')
    const asked = cloud.seen('/v1/embed').length
    await pause(700)
    expect(cloud.seen('/v1/embed')).toHaveLength(asked)
  })
})
