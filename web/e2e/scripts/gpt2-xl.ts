import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'

const HIDDEN = 1_600

/** What a checkpoint has of GPT-2 XL: its layers and heads are XL's own in any case. */
export interface Gpt2XlSize {
  readonly layers: number
  readonly positions: number
  readonly vocabulary: number
}

/** GPT-2 XL whole: 6.2 GB in f32. */
export const WHOLE: Gpt2XlSize = { layers: 48, positions: 1_024, vocabulary: 50_257 }

/** One layer of it, with the least around it. */
export const ONE_LAYER: Gpt2XlSize = { layers: 1, positions: 64, vocabulary: 64 }

/** The tensors of one layer, by the checkpoint's names. */
export function layerTensors(layer: number): [string, number[]][] {
  const h = HIDDEN
  const tensors: [string, number[]][] = [
    ['ln_1.weight', [h]],
    ['ln_1.bias', [h]],
    ['attn.c_attn.weight', [h, 3 * h]],
    ['attn.c_attn.bias', [3 * h]],
    ['attn.c_proj.weight', [h, h]],
    ['attn.c_proj.bias', [h]],
    ['ln_2.weight', [h]],
    ['ln_2.bias', [h]],
    ['mlp.c_fc.weight', [h, 4 * h]],
    ['mlp.c_fc.bias', [4 * h]],
    ['mlp.c_proj.weight', [4 * h, h]],
    ['mlp.c_proj.bias', [h]],
  ]
  return tensors.map(([name, shape]) => [`h.${layer}.${name}`, shape])
}

/**
 * Writes a checkpoint in Hugging Face layout with random f32 weights, the same at every call, as wide as those that GPT-2 starts its
 * training from; a megabyte at a time, for the whole is larger than most machines' memory.
 */
export function writeGpt2Xl(folder: string, { layers, positions, vocabulary }: Gpt2XlSize): void {
  mkdirSync(folder, { recursive: true })
  const config = {
    model_type: 'gpt2',
    architectures: ['GPT2LMHeadModel'],
    n_layer: layers,
    n_embd: HIDDEN,
    n_head: 25,
    n_positions: positions,
    n_ctx: positions,
    vocab_size: vocabulary,
    layer_norm_epsilon: 1e-5,
    activation_function: 'gelu_new',
  }
  writeFileSync(`${folder}/config.json`, JSON.stringify(config))
  const tensors: [string, number[]][] = [
    ['wte.weight', [vocabulary, HIDDEN]],
    ['wpe.weight', [positions, HIDDEN]],
    ...Array.from({ length: layers }, (_, layer) => layerTensors(layer)).flat(),
    ['ln_f.weight', [HIDDEN]],
    ['ln_f.bias', [HIDDEN]],
  ]
  const header: Record<string, unknown> = {}
  let offset = 0
  for (const [name, shape] of tensors) {
    const bytes = count(shape) * Float32Array.BYTES_PER_ELEMENT
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes] }
    offset += bytes
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.byteLength))
  const file = openSync(`${folder}/model.safetensors`, 'w')
  try {
    writeSync(file, length)
    writeSync(file, json)
    const random = new Random()
    for (const [name, shape] of tensors) {
      const mean = /ln_(1|2|f)\.weight$/.test(name) ? 1 : 0
      writeValues(file, count(shape), () => mean + 0.02 * random.next())
    }
  } finally {
    closeSync(file)
  }
}

const AT_ONCE = 1 << 18

function writeValues(file: number, values: number, next: () => number): void {
  for (let done = 0; done < values; done += AT_ONCE) {
    const some = new Float32Array(Math.min(AT_ONCE, values - done))
    for (let i = 0; i < some.length; i++) {
      some[i] = next()
    }
    for (let bytes = new Uint8Array(some.buffer); bytes.byteLength > 0; ) {
      bytes = bytes.subarray(writeSync(file, bytes))
    }
  }
}

/** Uniform numbers of mean 0 and deviation 1, by a 32-bit xorshift. */
class Random {
  #state = 1

  next(): number {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state
    return state * (Math.sqrt(3) / 2 ** 31)
  }
}

/**
 * Writes a tokenizer of GPT-2's kind and size beside a checkpoint: the bytes, 50,000 pairs of them, and the end of text. Its tokens are no
 * words, but it splits a text and merges bytes as GPT-2's does.
 */
export function writeTokenizer(folder: string): void {
  const bytes = byteCharacters()
  const merges = bytes.flatMap((first) => bytes.map((second) => [first, second] as const)).slice(0, 50_000)
  const words = [...bytes, ...merges.map((pair) => pair.join('')), END_OF_TEXT]
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: words.length - 1,
        content: END_OF_TEXT,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
      merges,
    },
  }
  writeFileSync(`${folder}/tokenizer.json`, JSON.stringify(tokenizer))
}

const END_OF_TEXT = '<|endoftext|>'

/** The character that GPT-2 writes for each byte: the printable ones themselves, the others from U+0100 on. */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  let others = 0
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : 0x100 + others++),
  )
}

export function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
