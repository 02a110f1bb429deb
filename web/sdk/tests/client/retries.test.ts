import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Retry, SplitCompute } from '../../src/index'
import { failing, problem } from '../support/fake-cloud'
import { cleanUpAfterEach, connect, SMALL, startCloud } from '../support/session'

cleanUpAfterEach()

afterEach(() => {
  vi.useRealTimers()
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
