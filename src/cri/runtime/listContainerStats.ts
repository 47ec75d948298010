/** RuntimeService.ListContainerStats: of running containers; one whose cgroup has just gone is left out. */
import { Effect } from "effect"
import { ContainerStats, type ContainerStatsFilter, type ListContainerStatsRequest } from "../../gen/runtime/v1/api.ts"
import { Pods } from "../../pod/Pods.ts"
import { isRunning } from "../../stats/running.ts"
import type { ContainerSample } from "../../stats/Sample.ts"
import { Sampler } from "../../stats/Sampler.ts"
import { inOneMessage, type ItemType } from "../streamed.ts"
import { containerMatches } from "./containerWire.ts"
import { toContainerStats } from "./statsWire.ts"

export const containerSamplesLike = Effect.fnUntraced(function* (filter: ContainerStatsFilter | undefined) {
  const { containers } = yield* (yield* Pods).snapshot
  const like = filter === undefined ? undefined : { ...filter, state: undefined }
  const wanted = Array.from(containers.values()).filter((one) => isRunning(one) && containerMatches(one, like))
  const samples = yield* (yield* Sampler).containers(wanted)
  return samples.filter(({ usage }) => usage !== undefined)
})

/** By the sample itself: kubelet's several callers get the same one. */
const encodedSamples = new WeakMap<ContainerSample, Uint8Array>()

/** Encoded once per sample, not once per request. */
export const encodedContainerStats: ItemType<ContainerSample> = {
  encode: (sample) => ({
    finish: () => {
      const known = encodedSamples.get(sample)
      if (known !== undefined) return known
      const bytes = ContainerStats.encode(toContainerStats(sample)).finish()
      encodedSamples.set(sample, bytes)
      return bytes
    }
  })
}

export const listContainerStats = Effect.fn("RuntimeService.ListContainerStats")(function* ({
  filter
}: ListContainerStatsRequest) {
  return inOneMessage(encodedContainerStats, yield* containerSamplesLike(filter))
})
