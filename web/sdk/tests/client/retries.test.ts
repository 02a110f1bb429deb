import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { ApiClient } from '../../src/client/api-client'
import { type Retry, SplitCompute } from '../../src/index'
import { type FakeCloud, failing, problem } from '../support/fake-cloud'
import { cleanUpAfterEach, connect, SMALL, startCloud } from '../support/session'

cleanUpAfterEach()

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

// No WebGPU is installed here: the cloud answers alone.
describe('without WebGPU', () => {
  it('shouldLetTheCloudAnswerAloneAndSayWhy', async () => {
    const split = await connect(await startCloud())
    expect(await split.ready).toBe(3)
    expect(split.progress.reason).toContain('no WebGPU')
    const { cut, reason, embedding } = await split.embed('text', { cut: 1 })
    expect({ cut, reason, size: embedding.length }).toEqual({
      cut: 3,
      reason: 'Cut 1 was not possible: This browser has no WebGPU.',
      size: 48,
    })
  })
})

describe('the API', () => {
  it('shouldBeAskedAgainAfterAServerError', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(failing('/v1/embed', 2, (response) => problem(response, 503, 'not-ready')))
    await expect(split.embed('text')).resolves.toMatchObject({ cut: 3 })
    expect(cloud.seen('/v1/embed')).toHaveLength(3)
  })

  it('shouldBeAskedAgainAfterABrokenConnection', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(failing('/v1/embed', 1, (response) => response.destroy()))
    await expect(split.embed('text')).resolves.toMatchObject({ cut: 3 })
  })

  it('shouldBeLeftAloneForAsLongAsRetryAfterSays', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const answer = failing('/v1/embed', 1, (response) =>
      problem(response, 429, 'too-many-requests', { 'Retry-After': '1' }),
    )
    cloud.faults.push(answer)
    const start = performance.now()
    await split.embed('text')
    expect(performance.now() - start).toBeGreaterThanOrEqual(990)
  })

  it('shouldBeRetriedUntilTheDeadlineAndThenFailWithATypedError', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(failing('/v1/embed', 1_000, (response) => problem(response, 503, 'not-ready')))
    await expect(split.embed('text', { timeoutMs: 700 })).rejects.toMatchObject({
      name: 'SplitComputeError',
      code: 'timeout',
      message: expect.stringContaining('The fake cloud says not-ready.'),
    })
    expect(cloud.seen('/v1/embed').length).toBeGreaterThan(1)
  })

  it('shouldBeToldOfAtOnceWhileItFails', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const reasons: string[] = []
    split.addEventListener('retry', ({ detail }) => reasons.push(detail.reason))
    cloud.faults.push(
      failing('/v1/embed', 1, (response) => problem(response, 503, 'not-ready', { 'Retry-After': '1' })),
      failing('/v1/embed', 1, (response) => response.destroy()),
    )
    const answer = split.embed('text')
    await vi.waitFor(() => expect(reasons).toEqual(['The fake cloud says not-ready.']))
    expect(cloud.seen('/v1/embed')).toHaveLength(1)
    await answer
    expect(reasons).toEqual(['The fake cloud says not-ready.', 'The cloud cannot be reached.'])
  })

  it('shouldBeToldOfWhileItIsSilent', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const reasons: string[] = []
    split.addEventListener('retry', ({ detail }) => reasons.push(detail.reason))
    cloud.faults.push(({ path }) => path === '/v1/embed')
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const controller = new AbortController()
    const ended = expect(split.embed('text', { signal: controller.signal })).rejects.toThrow('Enough.')
    await vi.advanceTimersByTimeAsync(4_900)
    expect(reasons).toEqual([])
    await vi.advanceTimersByTimeAsync(200)
    expect(reasons).toEqual(['The cloud has not answered for 5 s.'])
    controller.abort(new Error('Enough.'))
    await ended
  })

  it('shouldEndARequestThatIsNotAnsweredInTime', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(({ path }) => path === '/v1/embed')
    await expect(split.embed('text', { timeoutMs: 200 })).rejects.toMatchObject({ code: 'timeout' })
  })

  it('shouldNotBeAskedAgainAfterARefusal', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(failing('/v1/embed', 1, (response) => problem(response, 400, 'invalid-request')))
    await expect(split.embed('text')).rejects.toMatchObject({
      code: 'refused',
      message: 'The fake cloud says invalid-request.',
      problem: { status: 400, type: 'urn:splitcompute:problem:invalid-request', field: 'input' },
    })
    expect(cloud.seen('/v1/embed')).toHaveLength(1)
  })

  it('shouldNotBeAskedAgainForAModelThatIsDamaged', async () => {
    const cloud = await startCloud()
    const path = `/v1/models/${SMALL}/manifest`
    const damaged = (response: ServerResponse) =>
      response
        .writeHead(500, { 'Content-Type': 'application/problem+json' })
        .end(
          '{"type":"https://splitcompute.dev/problems/model-damaged","status":500,"detail":"Publish it again."}',
        )
    cloud.faults.push(failing(path, 1, damaged))
    await expect(connect(cloud)).rejects.toMatchObject({ code: 'refused', message: 'Publish it again.' })
    expect(cloud.seen(path)).toHaveLength(1)
  })

  it('shouldBeLetGoWhenTheCallerAborts', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(({ path }) => path === '/v1/embed')
    const controller = new AbortController()
    const answer = split.embed('text', { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('changed my mind')), 100)
    await expect(answer).rejects.toThrow('changed my mind')
  })
})

describe('a request that is silent for 5 s', () => {
  const PATH = `/v1/models/${SMALL}`

  /** Starts on fake time what is to be asked twice, and goes on in real time once it was. */
  async function secondOf<T>(cloud: FakeCloud, path: string, ask: () => Promise<T>): Promise<T> {
    const lost: ServerResponse[] = []
    cloud.faults.push(failing(path, 1, (response) => lost.push(response)))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const answer = ask()
    while (lost.length === 0) {
      await vi.advanceTimersByTimeAsync(0)
    }
    expect(cloud.seen(path)).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(5_000)
    vi.useRealTimers()
    const result = await answer
    expect(cloud.seen(path)).toHaveLength(2)
    await vi.waitFor(() => expect(lost[0]?.closed).toBe(true))
    return result
  }

  /** A network whose answers the test gives, in fake time. */
  function network() {
    const sent: { readonly signal: AbortSignal; readonly answer: (response: Response) => void }[] = []
    vi.stubGlobal('fetch', (_: URL, init: { signal: AbortSignal }) => {
      return new Promise<Response>((resolve, reject) => {
        init.signal.addEventListener('abort', () => reject(init.signal.reason))
        sent.push({ signal: init.signal, answer: resolve })
      })
    })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const reasons: string[] = []
    const onRetry = ({ reason }: Retry) => reasons.push(reason)
    const request = { method: 'GET', path: 'v1/models', accept: 'application/json' } as const
    /** Resolves when the request is on its way, to its answer to come. */
    const send = async (client: ApiClient, signal = new AbortController().signal) => {
      const sending = client.send(request, signal, { onRetry })
      const answer = sending.then(({ bytes }) => new TextDecoder().decode(bytes))
      await vi.advanceTimersByTimeAsync(0)
      return { answer }
    }
    return { client: new ApiClient('http://cloud/'), send, sent, reasons }
  }

  async function sendOne(signal?: AbortSignal) {
    const { client, send, ...seen } = network()
    return { ...(await send(client, signal)), ...seen }
  }

  it('shouldBeSentOnceMoreBesideItWithinTheTimeOfTheCall', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const answer = await secondOf(cloud, '/v1/embed', () => split.embed('text', { timeoutMs: 12_000 }))
    expect(answer.cut).toBe(3)
  })

  it('shouldBeSentOnceMoreForTheManifest', async () => {
    const cloud = await startCloud()
    const split = await secondOf(cloud, `${PATH}/manifest`, () => connect(cloud))
    expect(split.layers).toBe(3)
  })

  it('shouldBeSentOnceMoreForActivationsOfS3', async () => {
    const cloud = await startCloud()
    cloud.bodyLimit = 0
    const split = await connect(cloud)
    const ask = () => split.embed([1, 2, 3], { pooling: 'none' })
    expect(await secondOf(cloud, '/s3/activations/', ask)).toMatchObject({ cut: 3, tokens: 3 })
    expect(cloud.seen('/v1/embed')).toHaveLength(1)
  })

  it('shouldStillBeTheAnswerWhereTheOtherOneFails', async () => {
    const { answer, sent } = await sendOne()
    await vi.advanceTimersByTimeAsync(5_000)
    expect(sent).toHaveLength(2)
    sent[1]?.answer(new Response('', { status: 503 }))
    await vi.advanceTimersByTimeAsync(4_000)
    expect(sent).toHaveLength(2)
    sent[0]?.answer(new Response('late'))
    expect(await answer).toBe('late')
  })

  it('shouldLeaveTheCloudAloneForAsLongAsRetryAfterSays', async () => {
    const { answer, sent } = await sendOne()
    await vi.advanceTimersByTimeAsync(5_000)
    sent[1]?.answer(new Response('', { status: 429, headers: { 'Retry-After': '20' } }))
    await vi.advanceTimersByTimeAsync(19_900)
    expect(sent).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(100)
    expect(sent).toHaveLength(3)
    sent[2]?.answer(new Response('third'))
    expect(await answer).toBe('third')
    expect(sent[0]?.signal.aborted).toBe(true)
  })

  it('shouldHaveNoMoreThanOneBesideItAndEndWithTheSignal', async () => {
    const controller = new AbortController()
    const { answer, sent, reasons } = await sendOne(controller.signal)
    const ended = expect(answer).rejects.toThrow('Enough.')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(sent).toHaveLength(2)
    expect(reasons).toEqual(['The cloud has not answered for 5 s.'])
    controller.abort(new Error('Enough.'))
    await ended
    expect(sent.map(({ signal }) => signal.aborted)).toEqual([true, true])
    await vi.advanceTimersByTimeAsync(60_000)
    expect(sent).toHaveLength(2)
  })

  it('shouldHaveTwoBesideItWhereOneWasLostBefore', async () => {
    const { client, send, sent } = network()
    const { answer: lost } = await send(client)
    await vi.advanceTimersByTimeAsync(5_000)
    sent[1]?.answer(new Response('fast'))
    await lost

    const { answer } = await send(client)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(sent).toHaveLength(5)
    sent[4]?.answer(new Response('third'))
    expect(await answer).toBe('third')
  })

  it('shouldBeWaitedForLongerByAClientWhoseCloudAnsweredNoneInTime', async () => {
    const { client, send, sent } = network()
    const controller = new AbortController()
    const { answer: late } = await send(client, controller.signal)
    const ended = expect(late).rejects.toThrow('Too late.')
    await vi.advanceTimersByTimeAsync(30_000)
    controller.abort(new Error('Too late.'))
    await ended
    expect(sent).toHaveLength(2)

    const { answer } = await send(client)
    await vi.advanceTimersByTimeAsync(9_900)
    expect(sent).toHaveLength(3)
    sent[2]?.answer(new Response('slow'))
    expect(await answer).toBe('slow')
  })

  it('shouldBeWaitedForLongerByAClientWhoseCloudIsSlowUntilOneIsLostAgain', async () => {
    const { client, send, sent } = network()
    const silentFor = async (milliseconds: number, before: number) => {
      await vi.advanceTimersByTimeAsync(milliseconds - 100)
      expect(sent).toHaveLength(before)
      await vi.advanceTimersByTimeAsync(100)
      expect(sent).toHaveLength(before + 1)
    }
    const { answer: slow } = await send(client)
    await silentFor(5_000, 1)
    sent[0]?.answer(new Response('slow'))
    expect(await slow).toBe('slow')

    const { answer: lost } = await send(client)
    await silentFor(10_000, 3)
    sent[3]?.answer(new Response('fast'))
    expect(await lost).toBe('fast')

    const { answer: next } = await send(client)
    await silentFor(5_000, 5)
    sent[5]?.answer(new Response('fast'))
    expect(await next).toBe('fast')
  })

  it('shouldNotBeTakenForOneWhoseAnswerComesSlowly', async () => {
    const { answer, sent, reasons } = await sendOne()
    let body: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined
    const start = (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
      body = controller
    }
    sent[0]?.answer(new Response(new ReadableStream({ start })))
    for (let i = 0; i < 4; i++) {
      await vi.advanceTimersByTimeAsync(4_900)
      body?.enqueue(Uint8Array.of(32))
    }
    await vi.advanceTimersByTimeAsync(4_900)
    expect(reasons).toEqual([])
    expect(sent).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(100)
    expect(reasons).toEqual(["The cloud's answer has not gone on for 5 s."])
    expect(sent).toHaveLength(2)
    sent[1]?.answer(new Response('whole'))
    expect(await answer).toBe('whole')
  })
})

describe('connect', () => {
  it('shouldTellAtOnceThatItTriesAgain', async () => {
    const cloud = await startCloud()
    const reasons: string[] = []
    const onRetry = ({ reason }: Retry) => reasons.push(reason)
    cloud.faults.push(failing(`/v1/models/${SMALL}/manifest`, 2, (response) => response.destroy()))
    const split = await connect(cloud, { onRetry })
    expect(reasons).toEqual(['The cloud cannot be reached.', 'The cloud cannot be reached.'])
    // From here on its events tell.
    cloud.faults.push(failing('/v1/embed', 1, (response) => response.destroy()))
    await split.embed('text')
    expect(reasons).toHaveLength(2)
  })

  it('shouldGoOnWhereWhoIsToldThrowsWhichIsReported', async () => {
    const cloud = await startCloud()
    const reported: unknown[] = []
    vi.stubGlobal('reportError', (error: unknown) => reported.push(error))
    const wrong = new Error('A fault of the page.')
    const onRetry = () => {
      throw wrong
    }
    cloud.faults.push(failing(`/v1/models/${SMALL}/manifest`, 1, (response) => response.destroy()))
    await connect(cloud, { onRetry })
    expect(reported).toEqual([wrong])
  })

  it('shouldRefuseADtypeThatTheModelLacks', async () => {
    const cloud = await startCloud()
    const options = { endpoint: cloud.url, model: SMALL, dtype: 'bf16' as 'f16' }
    await expect(SplitCompute.connect(options)).rejects.toMatchObject({ code: 'unknown_dtype' })
  })

  it('shouldRejectForAnUnknownModel', async () => {
    const cloud = await startCloud()
    const options = { endpoint: cloud.url, model: 'unheard-of' }
    await expect(SplitCompute.connect(options)).rejects.toMatchObject({ problem: { status: 404 } })
  })

  it.each(['../x', 'a..b', '', 'a/b/c', '.a'])('shouldRefuseAModelThatIsNoName: "%s"', async (model) => {
    await expect(SplitCompute.connect({ endpoint: 'http://127.0.0.1:1', model })).rejects.toMatchObject({
      code: 'invalid_argument',
    })
  })
})

describe('close', () => {
  it('shouldRejectWhatIsUnderWay', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(({ path }) => path === '/v1/embed')
    const answer = split.embed('text')
    const rejection = expect(answer).rejects.toMatchObject({ code: 'closed' })
    await split.close()
    await rejection
    await expect(split.embed('text')).rejects.toMatchObject({ code: 'closed' })
  })
})
