import { beforeAll, describe, expect, it } from 'vitest'
import type { EmbeddingParameters, PartialFailure, SplitCompute } from '../../src/index'
import { cleanUpAfterEach, connect, startCloud } from '../support/session'
import { difference } from '../support/tensors'
import { installWebGpu } from '../support/webgpu'

beforeAll(installWebGpu)
cleanUpAfterEach()

/** What `embed` answers for each of the inputs, as OpenAI's interface has it. */
async function expected(
  split: SplitCompute,
  inputs: readonly (string | readonly number[])[],
): Promise<number[][]> {
  const answers = await Promise.all(inputs.map((input) => split.embed(input as string, { cut: 3 })))
  return answers.map(({ embedding }) => Array.from(embedding))
}

const norm = (vector: readonly number[]) => Math.hypot(...vector)

describe('embeddings.create', () => {
  it.each([
    ['a text', 'one', ['one'], 3],
    ['texts', ['one', 'and two'], ['one', 'and two'], 10],
    ['token ids', [1, 2, 3, 4], [[1, 2, 3, 4]], 4],
    ['lists of token ids', [[1, 2], [3]], [[1, 2], [3]], 3],
  ] as const)('shouldAnswerInOpenAisShape: %s', async (_, input, inputs, tokens) => {
    const split = await connect(await startCloud())
    for (const cut of [3, 1, 0]) {
      const answer = await split.embeddings.create({ model: 'someone/gpt2-plain', input }, { cut })
      expect(answer).toMatchObject({
        object: 'list',
        model: 'gpt2-plain',
        usage: { prompt_tokens: tokens, total_tokens: tokens },
      })
      const vectors = await expected(split, inputs)
      expect(answer.data).toHaveLength(inputs.length)
      for (const [i, { object, index, embedding }] of answer.data.entries()) {
        expect({ object, index }).toEqual({ object: 'embedding', index: i })
        expect(difference(embedding, vectors[i] ?? [])).toBeLessThan(1e-4)
      }
    }
  })

  it('shouldEncodeLittleEndianFloatsInBase64', async () => {
    const split = await connect(await startCloud())
    const [vector] = await expected(split, ['one'])
    const { data } = await split.embeddings.create({ input: 'one', encoding_format: 'base64' }, { cut: 3 })
    const bytes = Buffer.from(data[0]?.embedding ?? '', 'base64')
    expect(Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4))).toEqual(vector)
  })

  it.each([1, 20, 48])('shouldNormalizeAgainWhatIsCutTo %d Dimensions', async (dimensions) => {
    const split = await connect(await startCloud())
    const [vector = []] = await expected(split, ['one'])
    const { data } = await split.embeddings.create({ input: 'one', dimensions }, { cut: 3 })
    const { embedding } = data[0] ?? { embedding: [] }
    expect(embedding).toHaveLength(dimensions)
    expect(norm(embedding)).toBeCloseTo(1, 5)
    const cut = vector.slice(0, dimensions)
    expect(
      difference(
        embedding,
        cut.map((value) => value / norm(cut)),
      ),
    ).toBeLessThan(1e-6)
  })

  it.each([
    ['model', { model: 'gpt2' }],
    ['dimensions', { dimensions: 0 }],
    ['dimensions', { dimensions: 49 }],
    ['dimensions', { dimensions: 1.5 }],
    ['encoding_format', { encoding_format: 'int8' }],
  ])('shouldNameWhatIsWrong: %s', async (name, wrong) => {
    const split = await connect(await startCloud())
    const parameters = { input: 'one', ...wrong } as EmbeddingParameters & { encoding_format: 'float' }
    await expect(split.embeddings.create(parameters)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(`"${name}"`),
    })
  })

  it('shouldTakeNullForWhatIsLeftAway', async () => {
    const split = await connect(await startCloud())
    const parameters = { input: 'one', dimensions: null, encoding_format: null } as unknown
    const { data } = await split.embeddings.create(parameters as { input: string })
    expect(data[0]?.embedding).toHaveLength(48)
  })

  it('shouldRefuseWhatIsAnOptionOfEmbedAlone', async () => {
    const split = await connect(await startCloud())
    const options = { pooling: 'none' } as object
    await expect(split.embeddings.create({ input: 'one' }, options)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('"pooling"'),
    })
  })

  it('shouldRefuseAListWithHoles', async () => {
    const split = await connect(await startCloud())
    // biome-ignore lint/suspicious/noSparseArray: it is what is refused
    const input = ['one', , 'two'] as string[]
    await expect(split.embeddings.create({ input })).rejects.toMatchObject({ code: 'invalid_argument' })
  })

  it('shouldSaveAnswersOfAPartialFailureInTheShapeThatWasAskedFor', async () => {
    const split = await connect(await startCloud())
    const asked = { input: ['one', ''], dimensions: 4, encoding_format: 'base64' } as const
    const failure: unknown = await split.embeddings.create(asked).catch((error: unknown) => error)
    const { data } = await split.embeddings.create({ ...asked, input: ['one'] })
    expect((failure as PartialFailure).answers).toEqual(new Map([[0, data[0]]]))
  })

  it('shouldRejectLikeEmbed', async () => {
    const split = await connect(await startCloud())
    await expect(split.embeddings.create({ input: '' })).rejects.toMatchObject({ code: 'refused' })
    await expect(split.embeddings.create({ input: ['one', ''] })).rejects.toMatchObject({
      code: 'partial_failure',
    })
  })
})
