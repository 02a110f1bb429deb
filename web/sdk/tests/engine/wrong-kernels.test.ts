import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TailEngine } from '../../src/engine/tail-engine'
import { MATMULS } from '../../src/engine/variants'
import { loadedEngine } from '../support/engine'
import { Fixture } from '../support/fixtures'
import { passForGpu, spoil } from '../support/spoilt-device'
import { walk } from '../support/steps'
import { readManifest } from '../support/store'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu, openDevice } from '../support/webgpu'

const never = new AbortController().signal
const manifest = readManifest('gpt2-plain')
const fixture = new Fixture('gpt2-plain')
/** Of one run: so few that runs take no matmul that is slow to compile here. */
const mostTokens = 30

/** Loses a quarter of what a matmul reads of its weights. */
const LESS_WEIGHT = (code: string) =>
  code
    .replaceAll(/= weights\(([^;]*)\);/g, '= half_read(weights($1));')
    .concat('\nfn half_read(w: Eight) -> Eight { return Eight(w.low, vec4<f32>(w.high.xy, 0.0, 0.0)); }')

/** The sequences that are short enough for one run. */
const tokens = fixture.tokens.slice(0, 10)
const lengths = fixture.lengths.slice(0, 3)
const expected = fixture.rows('final', 10)

async function runs(engine: TailEngine): Promise<number> {
  const rows = await engine.run({ cut: 0, tokens, lengths, pooling: 'none', normalize: false }, never)
  return difference(joined(rows), expected)
}

/** One token of the first sequence, which has no other. */
async function runsOneToken(engine: TailEngine): Promise<number> {
  const batch = { cut: 0, tokens: tokens.slice(0, 1), lengths: Int32Array.of(1) }
  const rows = await engine.run({ ...batch, pooling: 'none', normalize: false }, never)
  return difference(joined(rows), fixture.rows('final', 1))
}

async function open(
  wrong: readonly [label: RegExp, change: (code: string) => string][],
  gpu = false,
): Promise<TailEngine> {
  const device = await openDevice()
  if (gpu) {
    passForGpu(device)
  }
  for (const [label, change] of wrong) {
    spoil(device, label, change)
  }
  return loadedEngine(manifest, 'f32', { device, mostTokens })
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe('a kernel that computes wrong', () => {
  it('shouldNotBeMissedWhereNothingIsChecked', async () => {
    const engine = await open([[/^plain f32/, LESS_WEIGHT]])
    expect(await runs(engine)).toBeGreaterThan(0.01)
  })

  it.each([
    ['matmul', /^plain f32/, LESS_WEIGHT, 'plain: 4x4 a thread'],
    [
      'attention',
      /^attention plain/,
      (code: string) => code.replace('params.scale', '0.5 * params.scale'),
      'plain: a token a thread',
    ],
    [
      'norm',
      /^residual norm \w+ 16$/,
      (code: string) => code.replace('/ f32(columns)', '/ (f32(columns) + 1.0)'),
      '16 threads a row',
    ],
  ] as const)('shouldBeDroppedForAnother: %s', async (role, label, change, name) => {
    const engine = await open([[label, change]])
    await engine.check('layer.0', never)
    expect(engine.describe()[`${role}, excluded`]).toBe(name)
    expect(await runs(engine)).toBeLessThan(1e-4)
    for (const unit of ['embeddings', 'layer.1', 'layer.2', 'final', 'lm_head']) {
      await engine.check(unit, never)
    }
  })

  it('shouldBeDroppedWhereOnlyOtherNumbersOfRowsTakeIt', async () => {
    const engine = await open([[/^plain-row f32/, LESS_WEIGHT]])
    expect(await runsOneToken(engine)).toBeGreaterThan(0.01)
    await engine.check('layer.0', never)
    expect(await runsOneToken(engine)).toBeLessThan(1e-4)
    expect(engine.describe()).toMatchObject({
      'matmul, excluded': 'plain-row: 1x4 a thread',
      'matmul, 1 to 30 rows': 'plain: 4x4 a thread',
    })
  })

  it('shouldBeDroppedWhereOnlyASingleRowTakesIt', async () => {
    // The kernel that normalises what it reads.
    const { threads, lanes } = MATMULS.row
    const label = new RegExp(`^row(-subgroups)? f32 .* ${threads} ${lanes} \\d+ 5$`)
    const engine = await open([[label, LESS_WEIGHT]], true)
    expect(await runsOneToken(engine)).toBeGreaterThan(0.01)
    await engine.check('layer.0', never)
    expect(await runsOneToken(engine)).toBeLessThan(1e-4)
    expect(engine.describe()['matmul, excluded']).toMatch(/^row/)
  }, 240_000)

  it('shouldBeDroppedWhileKernelsAreCompiledAheadOfTheirRuns', async () => {
    const engine = await open([[/^plain-row f32/, LESS_WEIGHT]])
    await engine.check('layer.0', never)
    await engine.compile()
    expect(engine.describe()['matmul, excluded']).toBe('plain-row: 1x4 a thread')
  })

  it('shouldBeDroppedWhereItDoesNotCompile', async () => {
    const engine = await open([[/^plain f32/, (code) => `${code} nonsense`]])
    await engine.check('layer.0', never)
    expect(engine.describe()['matmul, excluded']).toBe('plain: 4x4 a thread')
    expect(await runs(engine)).toBeLessThan(1e-4)
  })

  it('shouldBeDroppedTogetherWithOneOfAnotherKernel', async () => {
    const engine = await open(
      [
        [/^tile-16 f32/, LESS_WEIGHT],
        [/^attention tile .* 4 32 1$/, (code) => code.replace('params.scale', '0.5 * params.scale')],
      ],
      true,
    )
    expect(engine.describe()).toMatchObject({ 'attention, prefill, 1 to 8 tokens': '4 queries x 32 keys' })
    await engine.check('layer.0', never)
    const described = engine.describe()
    expect(described['matmul, excluded']).toMatch(/^tile-16: [^;]*$/)
    expect(described['attention, excluded']).toBe('4 queries x 32 keys')
    expect(described['attention, prefill, 1 to 8 tokens']).toBe('8 queries x 16 keys')
    expect(await runs(engine)).toBeLessThan(1e-4)
  }, 240_000)

  it('shouldBeDroppedWhenASessionBeginsWhereOnlySessionsTakeIt', async () => {
    const engine = await open(
      [[/^attention split/, (code) => code.replace('sum += shares[i]', 'sum += 2.0 * shares[i]')]],
      true,
    )
    await engine.check('layer.0', never)
    expect(engine.describe()).toMatchObject({
      'attention, decode': 'split: 64 keys or a multiple a workgroup',
    })
    const session = await engine.session(0, 3, never)
    expect(engine.describe()).toMatchObject({
      'decode, excluded': 'split: 64 keys or a multiple a workgroup',
      'attention, decode': 'plain: a token a thread',
    })
    expect(difference(joined(await walk(session, { tokens, lengths }, 2)), expected)).toBeLessThan(1e-4)
  }, 240_000)

  it('shouldBeFoundInSoftwareTooWhenASessionBegins', async () => {
    const label = /^attention plain .* true true$/
    const engine = await open([[label, (code) => code.replace('params.scale', '0.5 * params.scale')]])
    await engine.check('layer.0', never)
    const session = await engine.session(0, 3, never)
    expect(engine.describe()).toMatchObject({
      'decode, excluded': 'plain: a token a thread',
      'attention, excluded': 'plain: a token a thread',
    })
    expect(difference(joined(await walk(session, { tokens, lengths }, 2)), expected)).toBeLessThan(1e-4)
  }, 240_000)

  it('shouldBeRefusedWithItsUnitWhereNoVariantComputesRight', async () => {
    const engine = await open([[/ f32 /, (code) => code.replaceAll('* 2u', '* 3u')]])
    await expect(engine.check('layer.0', never)).rejects.toMatchObject({ code: 'canary_failed' })
    expect(Object.keys(engine.describe()).filter((key) => key.endsWith('excluded'))).toEqual([])
  })
})

describe('a canary', () => {
  it('shouldNotWaitForKernelsThatOtherNumbersOfRowsTake', async () => {
    const device = await openDevice()
    const compiled: string[] = []
    const compile = device.createComputePipelineAsync.bind(device)
    device.createComputePipelineAsync = (descriptor) => {
      compiled.push(descriptor.label ?? '')
      return compile(descriptor)
    }
    const engine = await loadedEngine(manifest, 'f32', { device, mostTokens })
    await engine.check('layer.0', never)
    expect(compiled.filter((label) => label.startsWith('plain f32'))).toHaveLength(3)
    expect(compiled.filter((label) => label.startsWith('plain-row'))).toEqual([])
    expect(await runsOneToken(engine)).toBeLessThan(1e-4)
    expect(compiled.filter((label) => label.startsWith('plain-row'))).toHaveLength(3)
  })
})

describe('the description of an engine', () => {
  it('shouldTellTheVariantOfEveryKernelOverTheSizesThatTakeIt', async () => {
    const device = await openDevice('default')
    passForGpu(device)
    const engine = await loadedEngine(manifest, 'f16', { device, mostTokens: 600 })
    expect(engine.describe()).toMatchInlineSnapshot(`
      {
        "attention, decode": "split: 64 keys or a multiple a workgroup",
        "attention, prefill, 1 to 8 tokens": "4 queries x 32 keys",
        "attention, prefill, 513 to 600 tokens": "32 queries x 32 keys",
        "attention, prefill, 9 to 512 tokens": "16 queries x 32 keys",
        "lm_head, 1 row": "row: 128 threads, 128 a team for 2 columns",
        "lm_head, 2 to 32 rows": "tile-16: 16x64 a workgroup, 2x4 a thread, depth 32",
        "lm_head, 33 to 64 rows": "tile-64: 64x64 a workgroup, 8x4 a thread, depth 16",
        "matmul, 1 row": "row: 128 threads, 128 a team for 2 columns",
        "matmul, 2 to 32 rows": "tile-16: 16x64 a workgroup, 2x4 a thread, depth 32",
        "matmul, 33 to 600 rows": "tile-64: 64x64 a workgroup, 8x4 a thread, depth 16",
        "residual norm": "256 threads a row",
      }
    `)
    engine.destroy()
    const software = await loadedEngine(manifest, 'f16', { device: await openDevice('default') })
    expect(software.describe()).toMatchInlineSnapshot(`
      {
        "attention, decode": "plain: a token a thread",
        "attention, prefill, 1 to 2048 tokens": "plain: a token a thread",
        "lm_head, 1 row": "plain-row: 1x4 a thread",
        "lm_head, 2 to 64 rows": "plain: 4x4 a thread",
        "matmul, 1 row": "plain-row: 1x4 a thread",
        "matmul, 2 to 2048 rows": "plain: 4x4 a thread",
        "residual norm": "16 threads a row",
      }
    `)
  })
})
