import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TailEngine } from '../../src/engine/tail-engine'
import { ATTENTIONS, type ForcedVariants } from '../../src/engine/variants'
import { activations, loadedEngine, randomEngine } from '../support/engine'
import { Fixture } from '../support/fixtures'
import { Random, RandomModel, type Shape } from '../support/random-model'
import { Reference } from '../support/reference'
import { walk } from '../support/steps'
import { readManifest } from '../support/store'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu, openDevice } from '../support/webgpu'

const never = new AbortController().signal
/** Sizes that are multiples of no tile. */
const SHAPE: Shape = {
  heads: 3,
  headSize: 10,
  innerSize: 37,
  vocabularySize: 90,
  positions: 300,
  layers: 2,
  activation: 'gelu_tanh',
}

function randomTokens(random: Random, count: number): Int32Array {
  return Int32Array.from({ length: count }, () => random.integer(0, SHAPE.vocabularySize - 1))
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(['gpt2-plain', 'gpt2-sharded-f16', 'gpt2-inner-relu-scaled', 'gpt2-large-activations'])(
  'a session of %s',
  (model) => {
    const fixture = new Fixture(model)
    const { tokens, lengths } = fixture
    const manifest = readManifest(model)
    const cuts = Array.from({ length: manifest.layers }, (_, cut) => cut)
    let engine: TailEngine

    beforeAll(async () => {
      engine = await loadedEngine(manifest, 'f32')
    })

    it.each(cuts)('shouldAgreeWithTransformersTokenByTokenAtCut %d', async (cut) => {
      const session = await engine.session(cut, lengths.length, never)
      const hidden = cut === 0 ? {} : { hidden: fixture.tensor(`hidden.${cut}`) }
      const rows = await walk(session, { tokens, lengths, ...hidden }, 5)
      expect(difference(joined(rows), fixture.tensor('final'))).toBeLessThan(1e-4)
      expect(session.lengths).toEqual(Array.from(lengths))
      session.close()
    })

    it('shouldGiveWhatAWholeRunGives', async () => {
      const whole = await engine.run({ cut: 0, tokens, lengths, pooling: 'none', normalize: false }, never)
      const session = await engine.session(0, lengths.length, never)
      const rows = await walk(session, { tokens, lengths }, 20)
      expect(difference(joined(rows), joined(whole))).toBeLessThan(1e-4)
      session.close()
    })
  },
)

describe.each(['f32', 'f16', 'q8', 'q4'] as const)('a session of a random model in %s', (dtype) => {
  it.each([1, 2])('shouldAgreeWithTheReferenceWhateverTheShape: seed %d', async (seed) => {
    const random = new Random(100 * seed + dtype.charCodeAt(1))
    const shape: Shape = {
      ...SHAPE,
      heads: random.integer(1, 4),
      headSize: random.integer(4, 40),
      innerSize: random.integer(1, 90),
      order: seed % 2 === 0 ? 'post' : 'pre',
      final: seed % 2 === 1,
    }
    const model = new RandomModel(shape, dtype, random)
    const engine = await randomEngine(model, dtype)
    const lengths = Int32Array.from({ length: 3 }, () => random.integer(1, 30))
    const tokens = randomTokens(
      random,
      lengths.reduce((sum, length) => sum + length, 0),
    )
    const reference = new Reference(model.manifest, model.weights)
    for (let cut = 0; cut < shape.layers; cut++) {
      const x = reference.layers(0, cut, reference.embed(tokens, lengths), lengths)
      const input = Float64Array.from(x, Math.fround)
      const expected = reference.final(reference.layers(cut, shape.layers, input, lengths))
      const session = await engine.session(cut, 3, never)
      const hidden = cut === 0 ? {} : { hidden: input }
      const rows = await walk(session, { tokens, lengths, ...hidden }, random.integer(1, 12))
      expect(difference(joined(rows), expected), `cut ${cut}`).toBeLessThan(1e-4)
      session.close()
    }
  })
})

describe.each<{ name: string; forced: ForcedVariants; headSize: number }>([
  { name: 'split, heads of 64', forced: { decode: ATTENTIONS.split }, headSize: 64 },
  { name: 'split, heads of 10', forced: { decode: ATTENTIONS.split }, headSize: 10 },
  { name: 'split, heads of 201', forced: { decode: ATTENTIONS.split }, headSize: 201 },
  { name: 'split, heads of 4', forced: { decode: ATTENTIONS.split }, headSize: 4 },
  { name: 'plain', forced: { decode: ATTENTIONS.plain, attention: ATTENTIONS.plain }, headSize: 10 },
  ...Object.entries(ATTENTIONS).flatMap(([name, attention]) =>
    attention.kind === 'tile'
      ? [{ name, forced: { decode: ATTENTIONS.split, attention }, headSize: 31 }]
      : [],
  ),
])('attention on a cache: $name', ({ forced, headSize }) => {
  it('shouldAgreeWithTheReferenceWhenSequencesAreOfDifferentLengths', async () => {
    const random = new Random(headSize)
    const model = new RandomModel({ ...SHAPE, heads: 2, headSize, innerSize: 8, layers: 1 }, 'f32', random)
    const engine = await randomEngine(model, 'f32', { forced })
    // One, two and three parts of keys, and the edges between them.
    const lengths = Int32Array.of(62, 3, 130, 127)
    const tokens = randomTokens(random, 322)
    const session = await engine.session(0, 4, never)
    const ends = [62, 65, 195, 322]
    const until = (left: number) =>
      Int32Array.from(ends.flatMap((end, i) => Array.from(tokens.subarray(ends[i - 1] ?? 0, end - left))))
    const given: Float32Array[] = []
    // In two pieces, so that tiles read the cache as well, then token by token.
    const first = await session.hidden({ tokens: until(2), lengths: lengths.map((n) => n - 2) }, never)
    expect(first).toHaveLength(4)
    for (const left of [2, 1]) {
      const next = Int32Array.from(ends, (end) => tokens[end - left] ?? -1)
      given.push(...(await session.hidden({ tokens: next, lengths: Int32Array.of(1, 1, 1, 1) }, never)))
    }
    const more = randomTokens(random, 44)
    const joint = Int32Array.of(20, 0, 21, 3)
    given.push(...(await session.hidden({ tokens: more, lengths: joint }, never)))
    const reference = new Reference(model.manifest, model.weights)
    const all = [...ends.keys()].map((i) => Array.from(tokens.subarray(ends[i - 1] ?? 0, ends[i])))
    all[0]?.push(...more.subarray(0, 20))
    all[2]?.push(...more.subarray(20, 41))
    all[3]?.push(...more.subarray(41))
    const whole = Int32Array.from(all, ({ length }) => length)
    const x = reference.embed(Int32Array.from(all.flat()), whole)
    const output = reference.final(reference.layers(0, 1, x, whole))
    const h = model.manifest.hiddenSize
    const starts = all.map((_, i) => whole.slice(0, i).reduce((sum, length) => sum + length, 0))
    const row = (i: number, position: number) =>
      output.subarray(((starts[i] ?? 0) + position) * h, ((starts[i] ?? 0) + position + 1) * h)
    const wanted = [
      ...[...lengths.entries()].map(([i, length]) => row(i, length - 2)),
      ...[...lengths.entries()].map(([i, length]) => row(i, length - 1)),
      ...[0, 2, 3].map((i) => row(i, (whole[i] ?? 0) - 1)),
    ]
    expect(difference(joined(given), joined(wanted))).toBeLessThan(1e-4)
    engine.destroy()
  })
})

describe('the memory of a session', () => {
  const model = new RandomModel(SHAPE, 'f32', new Random(31))
  const step = (count: number) => ({
    tokens: randomTokens(new Random(count), count),
    lengths: Int32Array.of(count),
  })
  const cacheBytes = (tokens: number) => tokens * SHAPE.layers * 2 * SHAPE.heads * SHAPE.headSize * 4

  it('shouldCountAndFreeItsKeysAndValues', async () => {
    const engine = await randomEngine(model, 'f32')
    const without = engine.bytes
    const session = await engine.session(0, 1, never)
    expect(engine.bytes).toBe(without)
    await session.hidden(step(10), never)
    expect(engine.bytes - without).toBe(cacheBytes(64))
    await session.hidden(step(60), never)
    expect(engine.bytes - without).toBe(cacheBytes(128))
    expect(session.bytes).toBe(cacheBytes(128))
    session.close()
    expect(engine.bytes).toBe(without)
    await expect(session.hidden(step(1), never)).rejects.toMatchObject({ code: 'closed' })
  })

  it('shouldBeFreedWithTheEngine', async () => {
    const engine = await randomEngine(model, 'f32')
    const session = await engine.session(0, 1, never)
    await session.hidden(step(10), never)
    engine.destroy()
    expect(session.bytes).toBe(0)
    await expect(session.hidden(step(1), never)).rejects.toMatchObject({ code: 'closed' })
  })

  it('shouldRefuseWhatTheBudgetHasNoRoomFor', async () => {
    const { bytes } = await randomEngine(model, 'f32')
    const engine = await randomEngine(model, 'f32', { memory: bytes + 3 * cacheBytes(64) })
    const session = await engine.session(0, 1, never)
    const before = await session.hidden(step(64), never)
    expect(before).toHaveLength(1)
    // Twice the room does not fit beside what there is, but so much does.
    await session.hidden(step(10), never)
    expect(session.bytes).toBe(cacheBytes(128))
    await expect(session.hidden(step(200), never)).rejects.toMatchObject({ code: 'out_of_memory' })
    expect(session.lengths).toEqual([74])
    await session.hidden(step(1), never)
    expect(session.lengths).toEqual([75])
  })

  it('shouldRefuseWhatTheDeviceCannotBind', async () => {
    const engine = await randomEngine(model, 'f32', { bufferLimit: 100_000 })
    const session = await engine.session(0, 8, never)
    const lengths = Int32Array.of(60, 0, 0, 0, 0, 0, 0, 0)
    await expect(session.hidden({ ...step(60), lengths }, never)).rejects.toMatchObject({
      code: 'limit_exceeded',
    })
  })
})

describe('a session', () => {
  const model = new RandomModel(SHAPE, 'f32', new Random(41))
  const first = { tokens: Int32Array.of(5, 6, 7), lengths: Int32Array.of(2, 1) }
  let engine: TailEngine

  beforeAll(async () => {
    engine = await randomEngine(model, 'f32')
  })

  it('shouldRefuseTokensPastTheContext', async () => {
    const session = await engine.session(0, 2, never)
    const full = randomTokens(new Random(1), SHAPE.positions)
    await session.hidden({ tokens: full, lengths: Int32Array.of(SHAPE.positions, 0) }, never)
    const more = session.hidden({ tokens: Int32Array.of(1), lengths: Int32Array.of(1, 0) }, never)
    await expect(more).rejects.toMatchObject({ code: 'invalid_argument' })
    await session.hidden({ tokens: Int32Array.of(1), lengths: Int32Array.of(0, 1) }, never)
    expect(session.lengths).toEqual([SHAPE.positions, 1])
  })

  it.each([
    ['lengths of another number of sequences', { ...first, lengths: Int32Array.of(3) }],
    ['a negative length', { ...first, lengths: Int32Array.of(4, -1) }],
    ['lengths of other tokens', { ...first, lengths: Int32Array.of(1, 1) }],
    ['no tokens', { tokens: new Int32Array(), lengths: Int32Array.of(0, 0) }],
    ['a token beyond the vocabulary', { ...first, tokens: Int32Array.of(5, 6, SHAPE.vocabularySize) }],
    ['a negative token', { ...first, tokens: Int32Array.of(5, -6, 7) }],
    ['activations at cut 0', { ...first, hidden: activations(new Float64Array(90), 'f32') }],
    ['rows that fall', { ...first, rows: Int32Array.of(1, 0) }],
    ['rows beyond the step', { ...first, rows: Int32Array.of(3) }],
    ['no rows', { ...first, rows: new Int32Array() }],
  ])('shouldRefuse %s', async (_, step) => {
    const session = await engine.session(0, 2, never)
    await expect(session.hidden(step, never)).rejects.toMatchObject({ code: 'invalid_argument' })
    expect(session.lengths).toEqual([0, 0])
  })

  it.each([-1, 0.5, SHAPE.layers + 1])('shouldRefuseTheCut %d', async (cut) => {
    await expect(engine.session(cut, 1, never)).rejects.toMatchObject({ code: 'invalid_argument' })
  })

  it('shouldRefuseAModelWhoseTokensSeeWhatComesBehindThem', async () => {
    const encoder = new RandomModel({ ...SHAPE, mask: 'bidirectional' }, 'f32', new Random(42))
    const other = await randomEngine(encoder, 'f32')
    await expect(other.session(0, 1, never)).rejects.toMatchObject({ code: 'unsupported_model' })
  })

  it('shouldRefuseActivationsOfAnotherSize', async () => {
    const session = await engine.session(1, 2, never)
    const hidden = activations(new Float64Array(89), 'f32')
    await expect(session.hidden({ ...first, hidden }, never)).rejects.toMatchObject({
      code: 'invalid_argument',
    })
  })

  it('shouldBeAsItWasBehindAStepThatFails', async () => {
    const session = await engine.session(1, 1, never)
    const { hiddenSize } = model.manifest
    const random = new Random(43)
    const step = (values: Float64Array) => ({
      tokens: Int32Array.of(1),
      lengths: Int32Array.of(1),
      hidden: activations(values, 'f32'),
    })
    const [a, b] = [random.values(hiddenSize, 1), random.values(hiddenSize, 1)]
    await session.hidden(step(a), never)
    const poison = session.hidden(step(new Float64Array(hiddenSize).fill(Number.NaN)), never)
    await expect(poison).rejects.toMatchObject({ code: 'wrong_result' })
    const aborted = session.hidden(step(b), AbortSignal.abort(new Error('enough')))
    await expect(aborted).rejects.toThrow('enough')
    expect(session.lengths).toEqual([1])
    const after = await session.hidden(step(b), never)
    const clean = await engine.session(1, 1, never)
    await clean.hidden(step(a), never)
    expect(after).toEqual(await clean.hidden(step(b), never))
  })

  it('shouldTakeStepsInTheOrderInWhichTheyCome', async () => {
    const tokens = randomTokens(new Random(44), 6)
    const together = await engine.session(0, 1, never)
    const steps = Array.from(tokens, (token) =>
      together.hidden({ tokens: Int32Array.of(token), lengths: Int32Array.of(1) }, never),
    )
    const one = await engine.session(0, 1, never)
    const rows = await one.hidden(
      { tokens, lengths: Int32Array.of(6), rows: Int32Array.of(0, 1, 2, 3, 4, 5) },
      never,
    )
    expect(difference(joined((await Promise.all(steps)).flat()), joined(rows))).toBeLessThan(1e-5)
  })

  it('shouldGiveItsAnswersWhenAStepTakesSeveralRuns', async () => {
    const lengths = Int32Array.of(20, 3, 0, 30, 11)
    const tokens = randomTokens(new Random(45), 64)
    const rows = Int32Array.of(0, 19, 20, 22, 23, 52, 53, 63)
    const answers = async (device: TailEngine) => {
      const session = await device.session(0, 5, never)
      return joined(await session.hidden({ tokens, lengths, rows }, never))
    }
    const small = await randomEngine(model, 'f32', { mostTokens: 33, device: await openDevice() })
    expect(difference(await answers(small), await answers(engine))).toBeLessThan(1e-5)
  })
})
