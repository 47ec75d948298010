/** RuntimeService.ContainerStats: also of a container that does not run, as far as it still uses anything. */
import { Effect } from "effect"
import type { ContainerStatsRequest, ContainerStatsResponse } from "../../gen/runtime/v1/api.ts"
import { findContainer } from "../../pod/lookup.ts"
import { ContainerStats } from "../../stats/ContainerStats.ts"
import { toContainerStats } from "./statsWire.ts"

export const containerStats = Effect.fn("RuntimeService.ContainerStats")(function* (request: ContainerStatsRequest) {
  const container = yield* findContainer(request.containerId)
  const sample = yield* (yield* ContainerStats).sample(container)
  return { stats: toContainerStats(container, sample) } satisfies ContainerStatsResponse
})
