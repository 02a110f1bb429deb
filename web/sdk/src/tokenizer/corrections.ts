import {
  BertNormalizer,
  BertPreTokenizer,
  BPE,
  ByteLevelPostProcessor,
  ByteLevelPreTokenizer,
  type Normalizer,
  type PreTokenizer,
  SequenceNormalizer,
  SequencePreTokenizer,
  TemplateProcessingPostProcessor,
  type Tokenizer,
  WordPiece,
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
    const cased = lowercase ? normal.replaceAll('Σ', 'σ').toLowerCase() : normal
    // What became an added token's text only here is none to the head; to the library it is, but for the space, which is no word's.
    return `${cased} `
  }
}

/** White space is what Unicode calls so: `\s` lacks U+0085 and has U+FEFF. */
const BERTS_WORDS = new RegExp(`[^\\p{White_Space}${PUNCTUATION}]+|[${PUNCTUATION}]`, 'gu')
const BYTE_LEVELS_WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

/**
 * Makes the library's tokenizer one that gives the ids that the head's gives.
 *
 * @throws Error for kinds and options of which that is not proved: other ids would embed another text, and nobody would see it
 */
export function correct(tokenizer: Tokenizer): void {
  const { normalizer, pre_tokenizer: words, model, post_processor: last } = tokenizer
  tokenizer.normalizer = normalizer && headsNormalizer(normalizer)
  correctWords(words)
  if (model instanceof BPE) {
    const { byte_fallback, continuing_subword_suffix: continuing, end_of_word_suffix, ignore_merges } = model
    if (byte_fallback || continuing || end_of_word_suffix || ignore_merges || model.config.dropout) {
      fail('options of BPE')
    }
  } else if (!(model instanceof WordPiece)) {
    fail('kind of model')
  }
  const plain = last instanceof ByteLevelPostProcessor || last instanceof TemplateProcessingPostProcessor
  if (last !== null && !plain) {
    fail('kind of post-processor')
  }
  for (const { content, lstrip, rstrip, single_word } of tokenizer.get_added_tokens_decoder().values()) {
    if (lstrip || rstrip || single_word) {
      fail('options of an added token')
    }
    // The library adds it to the pieces of words, the head does not.
    if (!Object.hasOwn(model.config.vocab, content)) {
      model.tokens_to_ids.delete(content)
    }
  }
}

function headsNormalizer(normalizer: Normalizer): Normalizer {
  if (normalizer instanceof BertNormalizer) {
    return new HeadsNormalizer(normalizer.config)
  }
  if (normalizer instanceof SequenceNormalizer) {
    normalizer.normalizers = normalizer.normalizers.map((part) => part && headsNormalizer(part))
    return normalizer
  }
  return fail('kind of normalizer')
}

function correctWords(words: PreTokenizer | null): void {
  if (words instanceof BertPreTokenizer) {
    words.pattern = BERTS_WORDS
  } else if (words instanceof ByteLevelPreTokenizer) {
    if (words.add_prefix_space || !words.use_regex) {
      fail('options of ByteLevel')
    }
    words.pattern = BYTE_LEVELS_WORDS
  } else if (words instanceof SequencePreTokenizer) {
    for (const part of words.tokenizers) {
      correctWords(part)
    }
  } else {
    fail('kind of pre-tokenizer')
  }
}

function fail(what: string): never {
  throw new Error(`The tokenizer has ${what} for which this library is not proved.`)
}
