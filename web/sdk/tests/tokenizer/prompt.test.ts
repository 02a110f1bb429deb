import { describe, expect, it } from 'vitest'
import { parseManifest } from '../../src/client/manifest'
import { LazyTokenizer } from '../../src/client/tokenizer'
import { manifestBytes, tokenizerBytes } from '../support/store'

const never = new AbortController().signal

/** The manifest of an encoder, changed. */
function manifestWith(members: Record<string, unknown>) {
  const root = JSON.parse(new TextDecoder().decode(manifestBytes('bert-mean'))) as Record<string, unknown>
  return parseManifest(new TextEncoder().encode(JSON.stringify({ ...root, ...members })))
}

function encode(members: Record<string, unknown>, texts: readonly string[]) {
  const manifest = manifestWith(members)
  return new LazyTokenizer(manifest, async () => new Uint8Array(tokenizerBytes(manifest))).encode(
    texts,
    never,
  )
}

describe('a prompt', () => {
  const prompts = { query: 'the fox ' }

  it('is put before every text where it is the default', async () => {
    const prompted = await encode({ prompts, defaultPrompt: 'query' }, ['runs', ''])

    expect(prompted).toEqual(await encode({}, ['the fox runs', 'the fox ']))
    expect(prompted).not.toEqual(await encode({}, ['runs', '']))
  })

  it('is left to the caller where it is not', async () => {
    expect(await encode({ prompts }, ['runs'])).toEqual(await encode({}, ['runs']))
  })

  it('is refused where there is none of its name', () => {
    expect(() => manifestWith({ prompts, defaultPrompt: 'passage' })).toThrow('is none of prompts')
    expect(() => manifestWith({ defaultPrompt: 'query' })).toThrow('prompts')
  })
})

describe('a text', () => {
  it('is refused where it has a token that the model does not know', async () => {
    await expect(encode({ vocabularySize: 1 }, ['the fox'])).rejects.toMatchObject({
      code: 'invalid_argument',
    })
  })
})
