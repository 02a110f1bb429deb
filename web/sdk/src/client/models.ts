import type { components } from '../api/catalog'
import type { ApiClient } from './api-client'
import { JsonReader } from './json-reader'

type ModelObject = components['schemas']['ModelObject']
type ModelList = components['schemas']['ModelList']

/** A model that an endpoint serves. */
export type Model = Readonly<Pick<ModelObject, 'id' | 'layers' | 'hiddenSize' | 'dtypes'>>

/** @throws SplitComputeError `invalid_message`, `refused` */
export async function listModels(api: ApiClient, signal: AbortSignal): Promise<Model[]> {
  const { bytes } = await api.send({ method: 'GET', path: 'v1/models', accept: 'application/json' }, signal)
  const list = JsonReader.parse<ModelList>(bytes, 'invalid_message', 'The list of models')
  return list.list('data').map((model) => ({
    id: model.string('id'),
    layers: model.size('layers'),
    hiddenSize: model.size('hiddenSize'),
    dtypes: model.list('dtypes').map((dtype) => dtype.asString()),
  }))
}
