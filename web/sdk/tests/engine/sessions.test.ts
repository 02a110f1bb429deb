import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TailSession } from '../../src/engine/session'
import type { TailEngine } from '../../src/engine/tail-engine'
import { activations, loadedEngine } from '../support/engine'
import { Fixture } from '../support/fixtures'
import { readManifest } from '../support/store'
import { difference, joined } from '../support/tensors'
import { destroyDevices, installWebGpu } from '../support/webgpu'

const MODELS = [
  'gpt2-plain',
  'gpt2-hub-names-bf16',
  'gpt2-sharded-f16',
  'gpt2-inner-relu-scaled',
  'gpt2-large-activations',
]
const never = new AbortController().signal

/** The rows of a fixture's sequences, step by step: so many at first, then one at a time, all sequences side by side. */
async function walk(session: TailSession, fixture: Fixture, prefill: number): Promise<Float32Array[][]> {
  const { tokens } = fixture
  const lengths = Array.from(fixture.lengths)
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0))
  const hidden = session.cut === 0 ? undefined : fixture.tensor(`hidden.${session.cut}`)
  const size = hidden === undefined ? 0 : hidden.length / tokens.length
  const found: Float32Array[][] = lengths.map(() => [])
  for (let past = 0; past < Math.max(...lengths); past = past === 0 ? prefill : past + 1) {
    const step = past === 0 ? prefill : 1
    const counts = lengths.map((length) => Math.max(0, Math.min(step, length - past)))
    const rows = counts.flatMap((count, i) =>
      Array.from({ length: count }, (_, j) => (starts[i] ?? 0) + past + j),
    )
    const taken = rows.flatMap((row) => Array.from(hidden?.subarray(row * size, (row + 1) * size) ?? []))
    const answers = await session.hidden(
      {
        tokens: Int32Array.from(rows, (row) => tokens[row] ?? -1),
        lengths: Int32Array.from(counts),
        rows: Int32Array.from(rows.keys()),
        ...(hidden === undefined ? {} : { hidden: activations(Float64Array.from(taken), 'f32') }),
      },
      never,
    )
    let at = 0
    for (const [i, count] of counts.entries()) {
      found[i]?.push(...answers.slice(at, at + count))
      at += count
    }
  }
  return found
}

beforeAll(installWebGpu)
afterAll(destroyDevices)

describe.each(MODELS)('a session of %s', (model) => {
  const fixture = new Fixture(model)
  const manifest = readManifest(model)
  const cuts = Array.from({ length: manifest.layers }, (_, cut) => cut)
  let engine: TailEngine

  beforeAll(async () => {
    engine = await loadedEngine(manifest, 'f32')
  })

  it.each(cuts)('shouldAgreeWithTransformersTokenByTokenAtCut %d', async (cut) => {
    const session = await engine.session(cut, fixture.lengths.length, never)
    const rows = await walk(session, fixture, 5)
    expect(difference(joined(rows.flat()), fixture.tensor('final'))).toBeLessThan(1e-4)
    expect(session.lengths).toEqual(Array.from(fixture.lengths))
    session.close()
  })
})
