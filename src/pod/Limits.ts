/** CRI LinuxContainerResources as records keep it. */
import { Schema } from "effect"
import type { LinuxContainerResources } from "../gen/runtime/v1/api.ts"

const Int64 = Schema.BigIntFromString

/** 0 and "" mean "not set". */
export const Limits = Schema.Struct({
  cpuPeriod: Int64,
  cpuQuota: Int64,
  cpuShares: Int64,
  memoryLimitInBytes: Int64,
  oomScoreAdj: Int64,
  cpusetCpus: Schema.String,
  cpusetMems: Schema.String,
  hugepageLimits: Schema.Array(Schema.Struct({ pageSize: Schema.String, limit: Int64 })),
  unified: Schema.Record(Schema.String, Schema.String),
  memorySwapLimitInBytes: Int64
})
export type Limits = typeof Limits.Type

export const recordedLimits = (resources: LinuxContainerResources | undefined): Limits | null =>
  resources === undefined ? null : { ...resources }
