import {
  BertNormalizer,
  BertPreTokenizer,
  ByteLevelPreTokenizer,
  type Tokenizer,
} from '@huggingface/tokenizers'
import { IDEOGRAPHS, MARKS, PUNCTUATION, REMOVED } from './characters'

const removed = new RegExp(`[${REMOVED}]`, 'gu')
const marks = new RegExp(`[${MARKS}]`, 'gu')
const ideographs = new RegExp(`[${IDEOGRAPHS}]`, 'gu')

/**
 * BERT's normalizer as the head has it. The library's looks at halves of surrogate pairs for ideographs, lower-cases before it strips
 * marks, takes a final sigma for one, and takes the classes of characters from the browser's version of Unicode.
 */
class HeadsNormalizer extends BertNormalizer {
  override normalize(text: string): string {
    const { clean_text, handle_chinese_chars, lowercase, strip_accents } = this.config
    let normal = text
    if (clean_text) {
      normal = normal.replaceAll(removed, '').replaceAll(/\p{White_Space}/gu, ' ')
    }
    if (handle_chinese_chars) {
      normal = normal.replaceAll(ideographs, ' $& ')
    }
    if (strip_accents ?? lowercase) {
      normal = normal.normalize('NFD').replaceAll(marks, '')
    }
    // Sigma alone has a form that depends on what follows.
    return lowercase ? normal.replaceAll('Σ', 'σ').toLowerCase() : normal
  }
}

/** White space is what Unicode calls so: `\s` lacks U+0085 and has U+FEFF. */
const BERTS_WORDS = new RegExp(`[^\\p{White_Space}${PUNCTUATION}]+|[${PUNCTUATION}]`, 'gu')
const BYTE_LEVELS_WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

/** Makes the library's tokenizer one that gives the ids that the head's gives. */
export function correct(tokenizer: Tokenizer): void {
  const { normalizer, pre_tokenizer: words } = tokenizer
  if (normalizer instanceof BertNormalizer) {
    tokenizer.normalizer = new HeadsNormalizer(normalizer.config)
  }
  if (words instanceof BertPreTokenizer) {
    words.pattern = BERTS_WORDS
  } else if (words instanceof ByteLevelPreTokenizer) {
    words.pattern = BYTE_LEVELS_WORDS
  }
}
