import { Tokenizer } from '@huggingface/tokenizers'
import { correct } from './corrections'

/**
 * The token ids of a text with the model's special tokens, cut to `most` of them where that is given: what belongs to the
 * text is cut, special tokens stay.
 */
export type Tokenize = (text: string, most?: number) => number[]

/**
 * Reads a `tokenizer.json`.
 *
 * @throws Error for what is not one, or of a kind that the library does not know or gets wrong
 */
export function readTokenizer(json: Uint8Array): Tokenize {
  const tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(json)) as object, {})
  correct(tokenizer)
  return (given, most) => {
    // The head's way with half a surrogate pair, which UTF-8 cannot have.
    const text = given.replaceAll(/\p{Surrogate}/gu, '\ufffd')
    const { ids } = tokenizer.encode(text)
    if (most === undefined || ids.length <= most) {
      return ids
    }
    const { ids: plain } = tokenizer.encode(text, { add_special_tokens: false })
    const special = ids.length - plain.length
    const before = startOf(plain, ids)
    const kept = plain.slice(0, Math.max(0, most - special))
    return [...ids.slice(0, before), ...kept, ...ids.slice(before + plain.length)]
  }
}

/** Where a sequence begins in another that contains it. */
function startOf(part: readonly number[], whole: readonly number[]): number {
  for (let start = 0; start + part.length <= whole.length; start++) {
    if (part.every((id, i) => whole[start + i] === id)) {
      return start
    }
  }
  return 0
}
