import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SplitComputeError } from '../../src/errors'
import type { CutChange, Fallback, SplitCompute } from '../../src/index'
import { failing, problem, type SeenRequest } from '../support/fake-cloud'
import { type Behaviour, fakeDevices } from '../support/fake-device'
import { cleanUpAfterEach, connect, startCloud } from '../support/session'
import { readManifest, tokenizerBytes } from '../support/store'

cleanUpAfterEach()

const LAYERS = 3
/** A model that texts can be embedded with on the device alone. */
const WITH_TOKENIZER = 'bert-mean'
const tokenizerJson = async () => new Uint8Array(tokenizerBytes(readManifest(WITH_TOKENIZER)))
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

/** What waits for `opened` goes on once `open` is called. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
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
    for (let i = 0; i < 3; i++) {
      await expect(split.embed([1], { cut: 0 })).resolves.toMatchObject({ cut: LAYERS })
    }
    expect(seen).toEqual(
      Array(3).fill({ from: 0, to: LAYERS, reason: 'The cloud answered: The device was slow.' }),
    )
    expect(split.cut).toBe(LAYERS)
    expect(cuts).toEqual([{ from: 0, to: LAYERS, reason: 'The device was slow and rests.' }])
    // The weights stay.
    expect(split.progress.loaded).toBe(split.progress.units.reduce((sum, { loaded }) => sum + loaded, 0))
  })

  it('shouldBePassedOverUntilARunThatNobodyWaitsForHasEnded', async () => {
    const behaviour: Behaviour = {}
    const { open } = fakeDevices(behaviour)
    const split = await connect(await startCloud(), {}, open)
    await split.ready
    await warmUp(split)
    const stall = gate()
    behaviour.run = () => stall.opened
    // They wait for the same thing: that is slow once.
    const answers = await Promise.all([1, 2, 3].map((token) => split.embed([token])))
    expect(answers.map(({ cut }) => cut)).toEqual([LAYERS, LAYERS, LAYERS])
    expect(split.cut).toBe(0)
    await expect(split.embed([1])).resolves.toMatchObject({
      cut: LAYERS,
      reason: 'The cloud answered: The device is busy.',
    })
    stall.open()
    await pause(20)
    await expect(split.embed([1])).resolves.toMatchObject({ cut: 0 })
  })

  it('shouldNotBeCalledSlowWhereTheCallsHadLittleTime', async () => {
    const behaviour: Behaviour = {}
    const { open } = fakeDevices(behaviour)
    const split = await connect(await startCloud(), {}, open)
    await split.ready
    await warmUp(split)
    behaviour.run = never
    for (let i = 0; i < 3; i++) {
      await expect(split.embed([1], { cut: 0, timeoutMs: 1_000 })).resolves.toMatchObject({ cut: LAYERS })
    }
    expect(split.cut).toBe(0)
  })

  it('shouldNotBeCalledSlowWhileAUnitIsProved', { timeout: 20_000 }, async () => {
    const behaviour: Behaviour = {}
    const { open } = fakeDevices(behaviour)
    const total = (name: string) => split.progress.units.find((unit) => unit.name === name)?.total ?? 0
    const [arrival, canary] = [gate(), gate()]
    behaviour.load = async (unit, onBytes) => {
      if (unit === 'layer.1') {
        await arrival.opened
        onBytes(total(unit))
        await canary.opened
      }
    }
    const split = await connect(await startCloud(), {}, open)
    await split.embed([1], { cut: 2 })
    await warmUp(split)
    arrival.open()
    behaviour.run = never
    for (let i = 0; i < 3; i++) {
      await expect(split.embed([1], { cut: 2 })).resolves.toMatchObject({ cut: LAYERS })
    }
    expect(split.cut).toBe(2)
    canary.open()
  })

  it('shouldNotHoldUpTheCallerWhileItsFirstRunCompiles', async () => {
    const compiled = gate()
    const { open } = fakeDevices({ run: () => compiled.opened })
    const split = await connect(await startCloud(), {}, open)
    await split.ready
    await expect(split.embed([1])).resolves.toMatchObject({
      cut: LAYERS,
      reason: 'The cloud answered: The device was slow.',
    })
    expect(split.cut).toBe(0)
    compiled.open()
    await pause(20)
    await expect(split.embed([1])).resolves.toMatchObject({ cut: 0 })
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

describe('a GPU that is not offered at first', () => {
  const missing = () =>
    new SplitComputeError('no_webgpu', 'This browser has no WebGPU here: it offers no GPU.')

  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('shouldBeAskedForAgain', async () => {
    vi.stubGlobal('navigator', { gpu: {} })
    const { open, opened } = fakeDevices({})
    let attempts = 0
    const split = await connect(await startCloud(), {}, async (...options) => {
      if (++attempts <= 2) {
        throw missing()
      }
      return await open(...options)
    })
    expect(await split.ready).toBe(0)
    expect(opened).toHaveLength(1)
  })

  it('shouldBeLeftAloneWhenItStaysAway', async () => {
    vi.stubGlobal('navigator', { gpu: {} })
    let attempts = 0
    const split = await connect(await startCloud(), {}, async () => {
      attempts++
      throw missing()
    })
    expect(await split.ready).toBe(LAYERS)
    expect(attempts).toBe(4)
    expect(split.progress).toMatchObject({ phase: 'stopped', reason: missing().message })
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

describe('both sides gone', () => {
  const gone: Behaviour = {
    tokenizer: tokenizerJson,
    run: () => {
      throw new SplitComputeError('device_lost', 'unplugged')
    },
  }

  it.each([
    ['tokens', [1, 2, 3], gone],
    ['a text', 'the fox', gone],
    ['a text, and a tokenizer that never comes', 'the fox', { tokenizer: () => gate().opened as never }],
  ])('shouldRejectWithATypedErrorWithinTheTimeOf: %s', { timeout: 10_000 }, async (_, input, behaviour) => {
    const cloud = await startCloud(WITH_TOKENIZER)
    const { open } = fakeDevices(behaviour)
    const split = await connect(cloud, { model: WITH_TOKENIZER }, open)
    await split.ready
    expect(split.cut).toBe(0)
    cloud.faults.push(failing('/v1/embed', 1_000, (response) => problem(response, 503, 'not-ready')))
    await expect(split.embed(input, { timeoutMs: 1_500 })).rejects.toMatchObject({
      name: 'SplitComputeError',
      code: 'timeout',
    })
    const controller = new AbortController()
    const answer = split.embed(input, { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 100)
    await expect(answer).rejects.toThrow('enough')
  })
})

describe('a tokenizer that is late', () => {
  // The device does not wait for what the cloud asks for.
  const askedToComeBack = (response: ServerResponse) =>
    problem(response, 429, 'too-many-requests', { 'Retry-After': '600' })
  it('shouldNotKeepTheCloudFromBeingAskedAgain', async () => {
    const cloud = await startCloud(WITH_TOKENIZER)
    const { open } = fakeDevices({ tokenizer: () => gate().opened as never })
    const split = await connect(cloud, { model: WITH_TOKENIZER }, open)
    await split.ready
    cloud.faults.push(failing('/v1/embed', 2, (response) => problem(response, 503, 'not-ready')))
    await expect(split.embed('the fox')).resolves.toMatchObject({ cut: 0, tokens: 'the fox'.length })
  })

  it.each([
    ['fails', () => failing('/v1/embed', 1_000, askedToComeBack)],
    [
      'is silent',
      () =>
        ({ path }: SeenRequest) =>
          path === '/v1/embed',
    ],
  ])('shouldLetTheDeviceAnswerAloneOnceItIsHereWhereTheCloud: %s', { timeout: 20_000 }, async (_, fault) => {
    const cloud = await startCloud(WITH_TOKENIZER)
    const late = gate()
    const { open } = fakeDevices({ tokenizer: () => late.opened.then(tokenizerJson) })
    const split = await connect(cloud, { model: WITH_TOKENIZER }, open)
    await split.ready
    cloud.faults.push(fault())
    const answer = split.embed('the fox')
    await pause(300)
    late.open()
    await expect(answer).resolves.toMatchObject({ cut: 0 })
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
