export type { ApiHeaders } from './client/api-client'
export type { ListProgress } from './client/batches'
export type { Fallback, Ledger } from './client/embedding'
export type { Dtype, Pooling } from './client/manifest'
export type { Model } from './client/models'
export type { Progress, UnitProgress } from './client/progress'
export type { Retry } from './client/retries'
export type { KeptShard, ShardStorage } from './client/storage'
export type {
  EmbeddingList,
  EmbeddingObject,
  EmbeddingOptions,
  EmbeddingParameters,
  Embeddings,
} from './embeddings'
export { type ErrorCode, PartialFailure, type Problem, SplitComputeError } from './errors'
export {
  type Answer,
  type ConnectOptions,
  type CutChange,
  type EmbedOptions,
  type EndpointOptions,
  SplitCompute,
} from './split-compute'
