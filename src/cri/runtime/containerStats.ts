/** RuntimeService.ContainerStats: also of a container that does not run, as far as it still uses anything. */
import { Effect } from "effect"
import type { ContainerStatsRequest, ContainerStatsResponse } from "../../gen/runtime/v1/api.ts"
import { findContainer } from "../../pod/lookup.ts"
import { ContainerNotFound } from "../../pod/PodError.ts"
import { Sampler } from "../../stats/Sampler.ts"
import { toContainerStats } from "./statsWire.ts"

export const containerStats = Effect.fn("RuntimeService.ContainerStats")(function* (request: ContainerStatsRequest) {
  const container = yield* findContainer(request.containerId)
  const [sample] = yield* (yield* Sampler).containers([container])
  if (sample === undefined) return yield* new ContainerNotFound({ id: container.id })
  return { stats: toContainerStats(sample) } satisfies ContainerStatsResponse
})
