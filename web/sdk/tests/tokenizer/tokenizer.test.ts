import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readTokenizer } from '../../src/tokenizer/tokenizer'

const root = new URL('../../../../', import.meta.url)
const file = (path: string) => readFileSync(fileURLToPath(new URL(path, root)))

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
