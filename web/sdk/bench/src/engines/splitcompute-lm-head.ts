import { requestDevice } from '../../../src/engine/gpu'
import { TailEngine } from '../../../src/engine/tail-engine'
import { MOST_TOKENS } from '../../../src/engine/workspace'
import { randomFloats } from '../random-data'
import type { Engine } from './engine'
import { inFlight } from './flight'
import { describeModel, randomUnit } from './random-model'

/** Tokens that each row is answered with. */
const TOP = 40

/** Sessions whose calls wait at once; those of one session wait for one another. */
const SESSIONS = 16

/** The final LayerNorm, the output matrix and the choice among its logits: what a session does behind its layers. */
export const loadLmHead: Engine['load'] = async (shape, dtype) => {
  const manifest = describeModel(shape, dtype, 1)
  const engine = new TailEngine(await requestDevice(), manifest, dtype, MOST_TOKENS)
  for (const unit of ['final', 'lm_head']) {
    engine.attach(unit, await randomUnit(engine.allocate.bind(engine), manifest, unit, dtype))
  }
  const { signal } = new AbortController()
  return {
    enter: async (tokens) => {
      const sessions = await Promise.all(
        Array.from({ length: SESSIONS }, () => engine.session(manifest.layers, 1, signal)),
      )
      const bytes = new Uint8Array(randomFloats(tokens * manifest.hiddenSize, 1).buffer)
      const step = {
        tokens: new Int32Array(tokens),
        lengths: Int32Array.of(tokens),
        hidden: { dtype: 'f32', bytes } as const,
        rows: Int32Array.from({ length: tokens }, (_, row) => row),
      }
      const top = async (i: number) => sessions[i]?.top(step, TOP, signal)
      return {
        device: engine.device,
        queuedLayers: 1,
        aloneLayers: 1,
        queue: (calls) => inFlight(calls, (i) => top(i % SESSIONS)),
        alone: async () => {
          await top(0)
        },
        leave: async () => {
          for (const session of sessions) {
            session.close()
          }
        },
      }
    },
    close: async () => engine.destroy(),
  }
}
