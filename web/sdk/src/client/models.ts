import type { components } from '../api/catalog'
import { SplitComputeError } from '../errors'
import type { ApiClient } from './api-client'
import { JsonReader } from './json-reader'
import type { Retry } from './retries'

type ModelObject = components['schemas']['ModelObject']
type ModelList = components['schemas']['ModelList']

/** A model that an endpoint serves. */
export type Model = Readonly<Pick<ModelObject, 'id' | 'layers' | 'hiddenSize' | 'dtypes'>>

/** @throws SplitComputeError `invalid_message`, `refused` */
export async function listModels(
  api: ApiClient,
  signal: AbortSignal,
  onRetry: ((retry: Retry) => void) | undefined,
): Promise<Model[]> {
  const request = { method: 'GET', path: 'v1/models', accept: 'application/json' } as const
  const { bytes } = await api.send(request, signal, { onRetry })
  const list = JsonReader.parse<ModelList>(bytes, 'invalid_message', 'The list of models')
  return list.list('data').map((model) => ({
    id: model.string('id'),
    layers: model.size('layers'),
    hiddenSize: model.size('hiddenSize'),
    dtypes: model.list('dtypes').map((dtype) => dtype.asString()),
  }))
}

/**
 * The name without the owner that a hub's name begins with.
 *
 * @throws SplitComputeError `invalid_argument`
 */
export function modelName(model: unknown): string {
  const name = typeof model === 'string' ? model.replace(/^[A-Za-z0-9][A-Za-z0-9._-]*\//, '') : ''
  if (!/^[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._-]{0,95}$/.test(name)) {
    throw new SplitComputeError('invalid_argument', `"model" is not a model's name: ${String(model)}`)
  }
  return name
}
