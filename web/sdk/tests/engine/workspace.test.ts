import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Manifest } from '../../src/client/manifest'
import { MOST_TOKENS, tokensWithin, workspaceBytes } from '../../src/engine/workspace'

interface Vectors {
  readonly cases: readonly {
    readonly hiddenSize: number
    readonly innerSize: number
    readonly tokens: number
    readonly bytes: number
  }[]
}

const vectors: Vectors = JSON.parse(
  readFileSync(
    join(import.meta.dirname, '../../../../weights/src/test/resources/vectors/workspace.json'),
    'utf8',
  ),
)

describe('the workspace', () => {
  it.each(vectors.cases)(
    'takes what a manifest says that it needs: $hiddenSize, $innerSize, $tokens tokens',
    ({ hiddenSize, innerSize, tokens, bytes }) => {
      const manifest = { hiddenSize, layer: { mlp: { innerSize } } } as Manifest

      expect(workspaceBytes(manifest, tokens)).toBe(bytes)
    },
  )

  const wide = { hiddenSize: 4_096, layer: { mlp: { innerSize: 16_384 } } } as Manifest
  const unlimited = Number.POSITIVE_INFINITY

  it('has room for as many tokens as its memory allows', () => {
    expect(tokensWithin(wide, unlimited, unlimited)).toBe(MOST_TOKENS)
    expect(tokensWithin(wide, workspaceBytes(wide, 700), unlimited)).toBe(700)
    expect(tokensWithin(wide, -1, unlimited)).toBe(0)
  })

  it('has no buffer that is larger than a binding', () => {
    // The sums of the slices are the largest: 16,384 floats a token, and 1,200 tiles of 64 x 64.
    const limit = 128 * 1024 ** 2
    const most = Math.floor((limit / 4 - 1_200 * 64 * 64) / 16_384)
    expect(tokensWithin(wide, unlimited, limit)).toBe(most)
  })
})
