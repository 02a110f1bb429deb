import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const GPT2_PLAIN = fileURLToPath(new URL('../../../fixtures/gpt2-plain', import.meta.url))

/** Sequences of token ids of at most 16, and their mean embeddings as transformers computes them. */
export function oracle(): { readonly inputs: number[][]; readonly embeddings: Float32Array[] } {
  const bytes = readFileSync(`${GPT2_PLAIN}/expected.safetensors`)
  const headerBytes = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { data_offsets: [number, number] }
  >
  const data = (name: string): ArrayBuffer => {
    const [begin = 0, end = 0] = header[name]?.data_offsets ?? []
    return new Uint8Array(bytes.subarray(8 + headerBytes + begin, 8 + headerBytes + end)).buffer
  }
  const tokens = new Int32Array(data('tokens'))
  const lengths = new Int32Array(data('lengths'))
  const pooled = new Float32Array(data('pooled.mean'))
  const columns = pooled.length / lengths.length
  const inputs: number[][] = []
  const embeddings: Float32Array[] = []
  let start = 0
  for (const [i, length] of lengths.entries()) {
    if (length <= 16) {
      inputs.push(Array.from(tokens.subarray(start, start + length)))
      embeddings.push(pooled.slice(i * columns, (i + 1) * columns))
    }
    start += length
  }
  return { inputs, embeddings }
}
