import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { tensorBytes } from './safetensors.ts'

export const GPT2_PLAIN = fileURLToPath(new URL('../../../fixtures/gpt2-plain', import.meta.url))

/** Sequences of token ids of at most 16, and their mean embeddings as transformers computes them. */
export function oracle(): { readonly inputs: number[][]; readonly embeddings: Float32Array[] } {
  const bytes = readFileSync(`${GPT2_PLAIN}/expected.safetensors`)
  const data = (name: string): ArrayBuffer => tensorBytes(bytes, name).buffer
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
