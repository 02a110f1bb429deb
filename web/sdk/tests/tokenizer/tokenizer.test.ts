import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readTokenizer } from '../../src/tokenizer/tokenizer'

const root = new URL('../../../../', import.meta.url)
const file = (path: string) => readFileSync(fileURLToPath(new URL(path, root)))

type Json = Record<string, unknown>

/** A tokenizer of the fixtures, changed. */
function changed(path: string, change: (json: Json) => Json): Uint8Array {
  const json = JSON.parse(file(path).toString()) as Json
  return new TextEncoder().encode(JSON.stringify({ ...json, ...change(json) }))
}

const BOOKWORM = 'functions/local/src/main/resources/models/bookworm/tokenizer.json'
const BERT = 'fixtures/bert-mean/tokenizer.json'

/** A tokenizer like GPT-2's whose tokens are the 256 bytes, each its own id, and some pairs of bytes. */
function bytesWith(pairs: readonly string[]): Uint8Array {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte))
  const name = (byte: number) => String.fromCharCode(printable(byte) ? byte : 256 + others.indexOf(byte))
  const merges = pairs.map((pair) => Array.from(pair, (character) => name(character.charCodeAt(0))))
  const tokens = [
    ...Array.from({ length: 256 }, (_, byte) => name(byte)),
    ...merges.map((merge) => merge.join('')),
  ]
  const json = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
  }
  return new TextEncoder().encode(JSON.stringify(json))
}

describe('the tokenizer in the browser', () => {
  it('shouldAgreeWithTheReferenceOnEveryStringOfBookworm', () => {
    const tokenize = readTokenizer(file(BOOKWORM))
    const strings = JSON.parse(file('fixtures/bookworm/tokenizer.json').toString()) as {
      text: string
      tokens: number[]
    }[]
    expect(strings).toHaveLength(1_500)
    for (const { text, tokens } of strings) {
      expect(tokenize(text), JSON.stringify(text)).toEqual(tokens)
    }
  })

  it('shouldTakeForWhiteSpaceWhatTheHeadDoes', () => {
    const tokenize = readTokenizer(bytesWith([' \u{c2}', ' \u{ef}']))
    // Ids that the head's library gives for this tokenizer.
    expect(tokenize(' \u{85}a')).toEqual([32, 194, 133, 97])
    expect(tokenize(' \u{feff}a')).toEqual([257, 187, 191, 97])
    expect(tokenize('a \u{85}')).toEqual([97, 256, 133])
    expect(tokenize('\u{a0}\u{85}b')).toEqual([194, 160, 194, 133, 98])
  })

  it('shouldTakeHalfASurrogatePairForTheReplacementCharacter', () => {
    const tokenize = readTokenizer(bytesWith([]))
    expect(tokenize('x\ud800😀')).toEqual(Array.from(new TextEncoder().encode('x\ufffd😀')))
  })

  it('shouldFindAddedTokensInTheTextAsItWasGivenAlone', () => {
    const path = 'fixtures/bert-cls-f16-prefixed/tokenizer.json'
    // Ids that the head's library gives for this tokenizer.
    expect(readTokenizer(file(path))('[SE\u{200b}P]')).toEqual([2, 53, 45, 119, 124, 54, 3])
    const tokenize = readTokenizer(
      changed(path, ({ added_tokens, normalizer }) => ({
        normalizer: { ...(normalizer as Json), lowercase: true },
        added_tokens: [
          ...(added_tokens as Json[]),
          {
            id: 1_001,
            content: 'dog',
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
          },
        ],
      })),
    )
    const plain = readTokenizer(
      changed(path, ({ normalizer }) => ({ normalizer: { ...(normalizer as Json), lowercase: true } })),
    )
    expect(tokenize('the dog barks')).toContain(1_001)
    for (const text of ['the DOG barks', 'DOG', 'Doggy', 'd\u{200b}og']) {
      expect(tokenize(text), text).toEqual(plain(text))
    }
  })

  it('shouldKeepSpecialTokensWhereATextIsCut', () => {
    const tokenize = readTokenizer(file('fixtures/bert-cls-f16-prefixed/tokenizer.json'))
    const long = 'one two three four five six seven eight nine ten'
    const whole = tokenize(long)
    expect(tokenize(long, 5)).toEqual([...whole.slice(0, 4), whole.at(-1)])
    expect(tokenize(long, whole.length)).toEqual(whole)
  })

  it('shouldBeTheSameWhereItsPartsStandInSequences', () => {
    const inSequence = ({ normalizer, pre_tokenizer }: Json) => ({
      normalizer: normalizer && { type: 'Sequence', normalizers: [normalizer] },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [{ type: 'Sequence', pretokenizers: [pre_tokenizer] }],
      },
    })
    // Of each the library alone makes other tokens.
    const texts = [
      'ΑΣ ΟΔΟΣ',
      'a\u{85}b',
      'x\u{feff}y',
      'İstanbul \u{20d0}\u{1abe}',
      '一\u{20000}二',
      '\u{a0}\u{85} b',
    ]
    for (const path of [BERT, BOOKWORM]) {
      const [plain, sequence] = [file(path), changed(path, inSequence)].map(readTokenizer)
      expect(texts.map((text) => sequence?.(text))).toEqual(texts.map((text) => plain?.(text)))
    }
  })

  it('shouldRefuseWhatIsNoTokenizer', () => {
    expect(() => readTokenizer(new TextEncoder().encode('{}'))).toThrow()
  })

  it.each<[string, string, (json: Json) => Json]>([
    ['a normalizer', BERT, () => ({ normalizer: { type: 'Lowercase' } })],
    [
      'a normalizer in a sequence',
      BERT,
      ({ normalizer }) => ({ normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, normalizer] } }),
    ],
    ['a pre-tokenizer', BERT, () => ({ pre_tokenizer: { type: 'Whitespace' } })],
    ['no pre-tokenizer', BOOKWORM, () => ({ pre_tokenizer: null })],
    [
      'a pre-tokenizer in a sequence',
      BOOKWORM,
      ({ pre_tokenizer }) => ({
        pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits' }, pre_tokenizer] },
      }),
    ],
    [
      'an option of ByteLevel',
      BOOKWORM,
      () => ({ pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }),
    ],
    ['an option of BPE', BOOKWORM, ({ model }) => ({ model: { ...(model as Json), ignore_merges: true } })],
    [
      'a model',
      BERT,
      ({ model }) => ({
        model: {
          type: 'Unigram',
          unk_id: 1,
          vocab: Object.keys((model as { vocab: Json }).vocab).map((token) => [token, -1]),
        },
      }),
    ],
    [
      'a post-processor',
      BERT,
      () => ({ post_processor: { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] } }),
    ],
    [
      'an added token',
      BERT,
      ({ added_tokens }) => ({
        added_tokens: (added_tokens as Json[]).map((token) => ({ ...token, lstrip: true })),
      }),
    ],
  ])('shouldRefuseWhatItIsNotProvedToGetRight: %s', (_, path, change) => {
    expect(() => readTokenizer(changed(path, change))).toThrow('not proved')
  })
})
