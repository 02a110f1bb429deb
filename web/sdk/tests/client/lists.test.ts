import { beforeAll, describe, expect, it, vi } from 'vitest'
import { boundedBy, boundsOf } from '../../src/client/batches'
import { type ListProgress, PartialFailure } from '../../src/index'
import { type FakeCloud, failing, problem } from '../support/fake-cloud'
import { cleanUpAfterEach, connect, SMALL, startCloud } from '../support/session'
import { readManifest } from '../support/store'
import { difference } from '../support/tensors'
import { installWebGpu } from '../support/webgpu'

beforeAll(installWebGpu)
cleanUpAfterEach()

/** Texts of 1 to 40 tokens, for the fake cloud takes a character for a token. */
function texts(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${i} is a text of some length`.slice(0, 1 + ((i * 7) % 40)))
}

/** How many inputs each request to embed had. */
function batches(cloud: FakeCloud): number[] {
  return cloud.seen('/v1/embed').map(({ body }) => (JSON.parse(body) as { input: unknown[] }).input.length)
}

async function failure(call: Promise<unknown>): Promise<PartialFailure<{ embedding: Float32Array }>> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(PartialFailure)
  return error as PartialFailure<{ embedding: Float32Array }>
}

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0)

describe('a long list', () => {
  it.each([
    [3, 400],
    [1, 100],
    [0, 100],
  ])('shouldBeAnsweredInOrderAtCut %d', async (cut, count) => {
    const cloud = await startCloud()
    cloud.limits = { maxInputs: 50, maxTokensPerRequest: 600 }
    const split = await connect(cloud)
    const list = texts(count)
    const answers = await split.embed(list, { cut })
    // A request of too many tokens is refused and parted: its two parts count as well.
    expect(batches(cloud).length).toBeGreaterThan(2)
    expect(sum(batches(cloud))).toBeGreaterThanOrEqual(count)
    expect(answers.map(({ tokens }) => tokens)).toEqual(list.map(({ length }) => length))
    for (const i of [0, 1, 49, 50, count - 1]) {
      const alone = await split.embed(list[i] ?? '', { cut: 3 })
      expect(difference(answers[i]?.embedding ?? [], alone.embedding)).toBeLessThan(1e-4)
    }
  })

  it('shouldHaveAFewRequestsUnderWayAtATime', async () => {
    const cloud = await startCloud()
    cloud.limits = { maxInputs: 10, maxTokensPerRequest: 16_384 }
    cloud.delayMs = 5
    const split = await connect(cloud, { memory: 0 })
    let [open, most] = [0, 0]
    cloud.faults.push(({ path }, response) => {
      if (path === '/v1/embed') {
        most = Math.max(most, ++open)
        response.once('close', () => open--)
      }
      return false
    })
    // More than a request may hold where nobody told the limits: so they are asked for.
    await split.embed(
      Array.from({ length: 2_100 }, () => [1]),
      { cut: 3 },
    )
    expect(batches(cloud)).toEqual(Array.from({ length: 210 }, () => 10))
    expect(most).toBe(4)
  })

  it('shouldFillRequestsByTheTokensOfSequences', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    await split.embed(
      Array.from({ length: 100 }, () => Array.from({ length: 60 }, (_, i) => i)),
      { cut: 3 },
    )
    expect(batches(cloud)).toEqual([34, 34, 32])
  })

  it.each([
    ['nobody knows its speed', 1e9, undefined, 256],
    ['it is slow', 1e9, 10, 256],
    ['it runs so many in a second', 1e9, 700, 700],
    ['it is fast', 1e9, 90_000, 2_048],
    ['it has memory for so many', 3_072_000, 90_000, 500],
    ['it has hardly any memory', 1, 90_000, 256],
  ])('shouldBeAskedForInWhatTheDeviceCanTake: %s', (_, memory, tokens, bound) => {
    const manifest = readManifest(SMALL)
    const bounds = boundsOf({ inputs: 50, tokens: 16_384 }, manifest)
    expect(bounds).toEqual({ inputs: 50, tokens: 2_048 })
    const pace = { tokensIn: () => tokens }
    expect(boundedBy({ layers: 3, memory, pace }, bounds, manifest)).toEqual({ inputs: 50, tokens: bound })
    expect(boundedBy({ layers: 0, memory, pace }, bounds, manifest)).toEqual(bounds)
  })

  it('shouldTakeTheCutAsItStandsForEachRequest', async () => {
    const cloud = await startCloud()
    cloud.delayMs = 60
    cloud.limits = { maxInputs: 20, maxTokensPerRequest: 16_384 }
    const split = await connect(cloud)
    const answers = await split.embed(Array.from({ length: 2_100 }, () => [1]))
    const cuts = answers.map(({ cut }) => cut)
    expect(cuts[0]).toBe(3)
    expect(Math.min(...cuts)).toBe(0)
  })

  it('shouldTellHowFarItIs', async () => {
    const cloud = await startCloud()
    cloud.limits = { maxInputs: 1_000, maxTokensPerRequest: 2_000 }
    const split = await connect(cloud)
    const told: ListProgress[] = []
    await split.embed(texts(400), { cut: 3, onProgress: (progress) => told.push(progress) })
    expect(told.length).toBeGreaterThan(2)
    expect(told.every(({ total }) => total === 400)).toBe(true)
    expect(told.map(({ done }) => done)).toEqual(
      [...new Set(told.map(({ done }) => done))].sort((a, b) => a - b),
    )
    expect(told.at(-1)?.done).toBe(400)
  })

  it('shouldRejectWithWhatItsListenerThrows', async () => {
    const split = await connect(await startCloud())
    const mistake = new Error('The listener is wrong.')
    const onProgress = () => {
      throw mistake
    }
    await expect(split.embed(['one', 'two'], { onProgress })).rejects.toBe(mistake)
  })

  it('shouldEndItsOtherRequestsWhenItsListenerThrows', async () => {
    const cloud = await startCloud()
    cloud.limits = { maxInputs: 10, maxTokensPerRequest: 16_384 }
    let [asked, ended] = [0, 0]
    cloud.faults.push(({ path }, response) => {
      if (path !== '/v1/embed' || asked++ === 0) {
        return false
      }
      response.on('close', () => ended++)
      return true
    })
    const split = await connect(cloud, { memory: 0 })
    const onProgress = () => {
      throw new Error('The listener is wrong.')
    }
    const list = Array.from({ length: 2_100 }, () => [1])
    await expect(split.embed(list, { cut: 3, onProgress })).rejects.toThrow('The listener is wrong.')
    await vi.waitFor(() => expect([asked, ended]).toEqual([4, 3]))
  })

  it('shouldFollowALocationForEachOfItsRequests', async () => {
    const cloud = await startCloud()
    cloud.bodyLimit = 1_000
    const split = await connect(cloud)
    await split.ready
    const list = Array.from({ length: 60 }, (_, i) => Array.from({ length: 8 }, (_, j) => (i + j) % 257))
    const answers = await split.embed(list, { cut: 2 })
    expect(batches(cloud)).toEqual([32, 28])
    expect(cloud.seen('/s3/activations/')).toHaveLength(2)
    expect(answers.every(({ cut }) => cut === 2)).toBe(true)
    const alone = await split.embed(list[57] ?? [], { cut: 3 })
    expect(difference(answers[57]?.embedding ?? [], alone.embedding)).toBeLessThan(1e-4)
  })
})

describe('a list’s abort', () => {
  it('shouldRejectWithTheSignalsReasonAndSendNothingMore', async () => {
    const cloud = await startCloud()
    cloud.delayMs = 5
    cloud.limits = { maxInputs: 10, maxTokensPerRequest: 16_384 }
    const split = await connect(cloud)
    const controller = new AbortController()
    const reason = new Error('No longer wanted.')
    const call = split.embed(
      Array.from({ length: 2_100 }, () => [1]),
      { cut: 3, signal: controller.signal, onProgress: () => controller.abort(reason) },
    )
    await expect(call).rejects.toBe(reason)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(batches(cloud).length).toBeLessThanOrEqual(8)
  })

  it('shouldBeTheClientsWhenItIsClosed', async () => {
    const cloud = await startCloud()
    cloud.faults.push(({ path }) => path === '/v1/embed')
    const split = await connect(cloud)
    const call = expect(split.embed(texts(200), { cut: 3 })).rejects.toMatchObject({ code: 'closed' })
    await split.close()
    await call
  })
})

describe('an input of a list that cannot be embedded', () => {
  const long = 'x'.repeat(65)

  it.each([3, 1])('shouldBeNamedByItsIndexAndCostNoOtherItsAnswerAtCut %d', async (cut) => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const list = texts(60)
    list[17] = long
    list[40] = ''
    const told: ListProgress[] = []
    const error = await failure(split.embed(list, { cut, onProgress: (progress) => told.push(progress) }))
    expect([...error.failures.keys()].sort((a, b) => a - b)).toEqual([17, 40])
    expect(error.failures.get(17)).toMatchObject({
      code: 'refused',
      problem: { status: 400, field: 'input' },
    })
    expect(error).toMatchObject({
      name: 'SplitComputeError',
      code: 'partial_failure',
      message: '2 of 60 inputs have no answer; input 17: The fake cloud says invalid-request.',
    })
    expect(error.answers.size).toBe(58)
    const alone = await split.embed(list[59] ?? '', { cut: 3 })
    expect(difference(error.answers.get(59)?.embedding ?? [], alone.embedding)).toBeLessThan(1e-4)
    expect(told.at(-1)).toEqual({ done: 60, total: 60 })
  })

  it('shouldBeToldOfTokensWithoutTheCloud', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const error = await failure(split.embed([[1], [257], [2, 3], []], { cut: 0 }))
    expect([...error.failures.keys()]).toEqual([1, 3])
    expect(error.failures.get(1)).toMatchObject({ code: 'invalid_argument' })
    expect([...error.answers.keys()]).toEqual([0, 2])
    expect(cloud.seen('/v1/embed')).toHaveLength(0)
  })

  it('shouldRejectAsItselfWhereItIsAlone', async () => {
    const split = await connect(await startCloud())
    await expect(split.embed([long], { cut: 3 })).rejects.toMatchObject({ code: 'refused' })
  })
})

describe('a list that the cloud leaves unfinished', () => {
  it('shouldCarryTheAnswersThatCameInTime', async () => {
    const cloud = await startCloud()
    cloud.limits = { maxInputs: 500, maxTokensPerRequest: 16_384 }
    const split = await connect(cloud, { memory: 0 })
    let asked = 0
    cloud.faults.push(({ path }, response) => {
      if (path !== '/v1/embed' || ++asked <= 3) {
        return false
      }
      problem(response, 503, 'not-ready')
      return true
    })
    const list = Array.from({ length: 2_100 }, () => [1])
    const error = await failure(split.embed(list, { timeoutMs: 8_000 }))
    expect(error.answers.size).toBe(1_500)
    expect(error.failures.size).toBe(600)
    expect(error.failures.get(2_099)).toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('not-ready'),
    })
  })

  it('shouldRejectWithTheOneReasonWhereNothingCame', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    cloud.faults.push(failing('/v1/embed', 1_000, (response) => problem(response, 403, 'forbidden')))
    await expect(split.embed(texts(600))).rejects.toMatchObject({ code: 'refused', problem: { status: 403 } })
    expect(cloud.seen('/v1/embed').length).toBeLessThanOrEqual(4)
  })
})
