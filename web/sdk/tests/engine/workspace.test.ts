import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Manifest } from '../../src/client/manifest'
import { workspaceBytes } from '../../src/engine/workspace'

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
})
