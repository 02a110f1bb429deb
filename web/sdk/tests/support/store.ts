import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inject } from 'vitest'
import { type Dtype, type Manifest, parseManifest } from '../../src/client/manifest'
import { readSafetensorsHeader, type SafetensorsHeader } from '../../src/shards/safetensors'
import { readUnitHeader } from '../../src/shards/unit-layout'

export interface ShardFile {
  readonly header: SafetensorsHeader
  readonly data: Uint8Array<ArrayBuffer>
}

export function manifestBytes(model: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(inject('store'), 'models', model, 'manifest.json')))
}

export function readManifest(model: string): Manifest {
  return parseManifest(manifestBytes(model))
}

/** A shard as the sharder wrote it. */
export function shardBytes(sha256: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(inject('store'), 'shards', `${sha256}.safetensors`)))
}

export function readShard(manifest: Manifest, unit: string, dtype: Dtype): ShardFile {
  const shard = manifest.units.get(unit)?.get(dtype)
  if (shard === undefined) {
    throw new Error(`${manifest.model} has no ${unit} in ${dtype}.`)
  }
  const bytes = shardBytes(shard.sha256)
  const header = readUnitHeader(bytes, bytes.byteLength, manifest, unit, dtype)
  return { header, data: bytes.subarray(header.dataOffset) }
}

/** The model's `tokenizer.json`. */
export function tokenizerBytes(manifest: Manifest): Uint8Array {
  const root = JSON.parse(new TextDecoder().decode(manifestBytes(manifest.model))) as {
    tokenizer: { sha256: string }
  }
  const bytes = shardBytes(root.tokenizer.sha256)
  const { tensors, dataOffset } = readSafetensorsHeader(
    bytes,
    bytes.byteLength,
    'invalid_shard',
    'The tokenizer',
  )
  const tensor = tensors.find(({ name }) => name === 'tokenizer.json')
  const begin = dataOffset + (tensor?.offset ?? 0)
  return bytes.subarray(begin, begin + (tensor?.bytes ?? 0))
}
