import type { KeptShard, SplitCompute } from 'splitcompute'
import { element, showText } from './elements'
import { formatBytes } from './format'

type Kept = Pick<KeptShard, 'bytes' | 'model' | 'where'>

/** What is kept, in sentences. */
export function storageSentence(shards: readonly Kept[]): string {
  const onDisk = shards.filter(({ where }) => where === 'disk')
  const inMemory = shards.filter(({ where }) => where === 'memory')
  const models = [...new Set(onDisk.map(({ model }) => model))].sort().join(', ')
  const files = onDisk.length === 1 ? '1 file' : `${onDisk.length} files`
  return [
    onDisk.length === 0
      ? 'Nothing is kept on this disk.'
      : `${bytesOf(onDisk)} in ${files} are kept on this disk for the next visit (${models}).`,
    ...(inMemory.length === 0 ? [] : [`${bytesOf(inMemory)} are kept in memory until the page is left.`]),
  ].join(' ')
}

function bytesOf(shards: readonly Kept[]): string {
  return formatBytes(shards.reduce((sum, { bytes }) => sum + bytes, 0))
}

export async function showStorage({ storage }: SplitCompute): Promise<void> {
  const shards = await storage.list()
  showText('storage-text', storageSentence(shards))
  element('clear', HTMLButtonElement).disabled = shards.length === 0
}
