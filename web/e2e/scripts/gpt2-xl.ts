import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { finished } from 'node:stream/promises'

const HIDDEN = 1_600
const CONFIG = {
  model_type: 'gpt2',
  architectures: ['GPT2LMHeadModel'],
  n_layer: 1,
  n_embd: HIDDEN,
  n_head: 25,
  n_positions: 64,
  n_ctx: 64,
  vocab_size: 64,
  layer_norm_epsilon: 1e-5,
  activation_function: 'gelu_new',
}

/** The tensors of one layer of GPT-2 XL, by the checkpoint's names. */
export function layerTensors(): [string, number[]][] {
  const h = HIDDEN
  return [
    ['h.0.ln_1.weight', [h]],
    ['h.0.ln_1.bias', [h]],
    ['h.0.attn.c_attn.weight', [h, 3 * h]],
    ['h.0.attn.c_attn.bias', [3 * h]],
    ['h.0.attn.c_proj.weight', [h, h]],
    ['h.0.attn.c_proj.bias', [h]],
    ['h.0.ln_2.weight', [h]],
    ['h.0.ln_2.bias', [h]],
    ['h.0.mlp.c_fc.weight', [h, 4 * h]],
    ['h.0.mlp.c_fc.bias', [4 * h]],
    ['h.0.mlp.c_proj.weight', [4 * h, h]],
    ['h.0.mlp.c_proj.bias', [h]],
  ]
}

/** Writes a checkpoint of one layer of GPT-2 XL's size with random weights: what is measured is their transport. */
export async function writeXlLayer(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/config.json`, JSON.stringify(CONFIG))
  const tensors: [string, number[]][] = [
    ['wte.weight', [CONFIG.vocab_size, HIDDEN]],
    ['wpe.weight', [CONFIG.n_positions, HIDDEN]],
    ...layerTensors(),
    ['ln_f.weight', [HIDDEN]],
    ['ln_f.bias', [HIDDEN]],
  ]
  const header: Record<string, unknown> = {}
  let offset = 0
  for (const [name, shape] of tensors) {
    const bytes = count(shape) * 4
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes] }
    offset += bytes
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.byteLength))
  const file = createWriteStream(`${folder}/model.safetensors`)
  file.write(length)
  file.write(json)
  for (const [, shape] of tensors) {
    const values = Float32Array.from({ length: count(shape) }, () => (Math.random() - 0.5) * 0.04)
    file.write(new Uint8Array(values.buffer))
  }
  file.end()
  await finished(file)
}

export function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
