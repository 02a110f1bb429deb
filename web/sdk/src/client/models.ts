import type { ApiClient } from './api-client'
import { JsonReader } from './json-reader'

/** A model that an endpoint serves. */
export interface Model {
  readonly id: string
  readonly layers: number
  readonly hiddenSize: number
  readonly dtypes: readonly string[]
}

/** @throws SplitComputeError `invalid_message`, `refused` */
export async function listModels(api: ApiClient, signal: AbortSignal): Promise<Model[]> {
  const { bytes } = await api.send({ method: 'GET', path: 'v1/models', accept: 'application/json' }, signal)
  const list = JsonReader.parse(bytes, 'invalid_message', 'The list of models')
  return list.list('data').map((model) => ({
    id: model.string('id'),
    layers: model.size('layers'),
    hiddenSize: model.size('hiddenSize'),
    dtypes: model.list('dtypes').map((dtype) => dtype.asString()),
  }))
}
