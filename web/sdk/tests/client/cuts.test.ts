import { beforeAll, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, connect, shardPath, startCloud } from '../support/session'
import { difference } from '../support/tensors'
import { installWebGpu } from '../support/webgpu'

const TEXT = 'A cut between two layers.'

beforeAll(installWebGpu)
cleanUpAfterEach()

describe('embed', () => {
  it.each([
    ['f32', 1e-4],
    ['f16', 5e-3],
  ] as const)('shouldAnswerTheSameAtEveryCutIn %s', async (dtype, tolerance) => {
    const cloud = await startCloud()
    const split = await connect(cloud, { dtype })
    const alone = await split.embed(TEXT, { cut: split.layers })
    for (let cut = 0; cut < split.layers; cut++) {
      const answer = await split.embed(TEXT, { cut })
      expect(answer.cut).toBe(cut)
      expect(answer.reason).toBeUndefined()
      expect(difference(answer.embedding, alone.embedding)).toBeLessThan(tolerance)
      expect(answer.ledger.layers).toEqual({ cloud: cut, device: split.layers - cut })
    }
  })

  it('shouldAnswerFromTheCloudWhileNothingHasLoaded', async () => {
    const cloud = await startCloud()
    cloud.faults.push(({ path }) => path.startsWith('/s3/'))
    const split = await connect(cloud)
    const answer = await split.embed(TEXT)
    expect(answer.cut).toBe(split.layers)
    expect(answer.reason).toBeUndefined()
  })

  it('shouldLowerTheCutAsUnitsArriveFromTheLastLayerDown', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const cuts: number[] = []
    split.addEventListener('progress', ({ detail }) => {
      if (detail.cut !== cuts.at(-1)) {
        cuts.push(detail.cut)
      }
    })
    expect(await split.ready).toBe(0)
    expect(cuts).toEqual([3, 2, 1, 0])
    expect(cloud.seen('/s3/').map(({ path }) => path)).toEqual(
      ['final', 'layer.2', 'layer.1', 'layer.0', 'embeddings'].map((unit) => shardPath(unit)),
    )
    expect(split.progress.loaded).toBe(split.progress.total)
    expect(split.progress.phase).toBe('ready')
  })

  it('shouldAskNothingOfTheCloudForTokensAtCutZero', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const { embedding, cut, ledger } = await split.embed([1, 2, 3], { cut: 0 })
    expect(cut).toBe(0)
    expect(embedding).toHaveLength(48)
    expect(cloud.seen('/v1/embed')).toHaveLength(0)
    expect(ledger.bytes).toEqual({ sent: 0, received: 0 })
  })

  it('shouldAnswerAListWithAList', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const texts = ['one', 'and another', 'x']
    const alone = await split.embed(texts, { cut: 3 })
    const answers = await split.embed(texts, { cut: 1 })
    expect(answers).toHaveLength(3)
    for (const [i, { embedding, cut }] of answers.entries()) {
      expect(cut).toBe(1)
      expect(difference(embedding, alone[i]?.embedding ?? [])).toBeLessThan(1e-4)
    }
  })

  it.each(['mean', 'last', 'cls', 'none'] as const)('shouldPoolLikeTheCloud: %s', async (pooling) => {
    const cloud = await startCloud()
    const split = await connect(cloud)
    const options = { pooling, normalize: false }
    const alone = await split.embed(TEXT, { ...options, cut: 3 })
    const { embedding } = await split.embed(TEXT, { ...options, cut: 1 })
    expect(difference(embedding, alone.embedding)).toBeLessThan(1e-4)
  })

  it('shouldFollowALocationWhenTheMessageIsLarge', async () => {
    const cloud = await startCloud()
    cloud.bodyLimit = 100
    const split = await connect(cloud)
    const { cut, ledger } = await split.embed(TEXT, { cut: 2 })
    expect(cut).toBe(2)
    expect(cloud.seen('/s3/activations/')).toHaveLength(1)
    expect(ledger.bytes.received).toBeGreaterThan(TEXT.length * 48 * 4)
  })

  it('shouldSendHeadersToTheApiAlone', async () => {
    const cloud = await startCloud()
    const split = await connect(cloud, { headers: async () => ({ Authorization: 'Bearer x' }) })
    await split.embed(TEXT, { cut: 0 })
    expect(cloud.seen('/v1/').every(({ headers }) => headers.authorization === 'Bearer x')).toBe(true)
    expect(cloud.seen('/s3/').some(({ headers }) => 'authorization' in headers)).toBe(false)
  })

  it('shouldStopAtTheMemoryBudgetAndKeepItsCut', async () => {
    const cloud = await startCloud()
    // Two of three layers fit beside a workspace for the longest input.
    const split = await connect(cloud, { memory: 1_230_000 })
    const reached = await split.ready
    expect(reached).toBeGreaterThan(0)
    expect(reached).toBeLessThan(3)
    expect(split.progress).toMatchObject({ phase: 'stopped', reason: expect.stringContaining('memory') })
    const answer = await split.embed(TEXT, { cut: 0 })
    expect(answer.cut).toBe(reached)
    expect(answer.reason).toContain('Cut 0 was not possible')
  })

  it.each([
    ['an empty list', []],
    ['a token beyond the vocabulary', [257]],
    ['a fraction', [1.5]],
    ['too many tokens', Array.from({ length: 65 }, () => 1)],
  ])('shouldRefuseAnInputThatCannotBeEmbedded: %s', async (_, input) => {
    const split = await connect(await startCloud())
    await expect(split.embed(input)).rejects.toMatchObject({ code: 'invalid_argument' })
  })

  it.each([-1, 4, 0.5])('shouldRefuseACutOutOfRange: %d', async (cut) => {
    const split = await connect(await startCloud())
    await expect(split.embed(TEXT, { cut })).rejects.toMatchObject({ code: 'invalid_argument' })
  })
})
