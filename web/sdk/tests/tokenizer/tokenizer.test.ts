import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readTokenizer } from '../../src/tokenizer/tokenizer'

const root = new URL('../../../../', import.meta.url)
const file = (path: string) => readFileSync(fileURLToPath(new URL(path, root)))

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
    const tokenize = readTokenizer(file('functions/local/src/main/resources/models/bookworm/tokenizer.json'))
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

  it('shouldKeepSpecialTokensWhereATextIsCut', () => {
    const tokenize = readTokenizer(file('fixtures/bert-cls-f16-prefixed/tokenizer.json'))
    const long = 'one two three four five six seven eight nine ten'
    const whole = tokenize(long)
    expect(tokenize(long, 5)).toEqual([...whole.slice(0, 4), whole.at(-1)])
    expect(tokenize(long, whole.length)).toEqual(whole)
  })

  it('shouldRefuseWhatIsNoTokenizer', () => {
    expect(() => readTokenizer(new TextEncoder().encode('{}'))).toThrow()
  })
})
