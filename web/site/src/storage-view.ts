import type { KeptShard, SplitCompute } from 'splitcompute'
import { element, showText } from './elements'
import { formatBytes } from './format'

/** What is kept on the disk, as a sentence. */
export function storageSentence(shards: readonly Pick<KeptShard, 'bytes' | 'model'>[]): string {
  if (shards.length === 0) {
    return 'Nothing is kept on this disk.'
  }
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0)
  const models = [...new Set(shards.map(({ model }) => model))].sort().join(', ')
  const files = shards.length === 1 ? '1 file' : `${shards.length} files`
  return `${formatBytes(bytes)} in ${files} are kept on this disk for the next visit (${models}).`
}

export async function showStorage({ storage }: SplitCompute): Promise<void> {
  const shards = await storage.list()
  showText('storage-text', storageSentence(shards))
  element('clear', HTMLButtonElement).disabled = shards.length === 0
}
