/** RuntimeService.ListContainerStats: of running containers; one whose cgroup has just gone is left out. */
import { Effect } from "effect"
import type { ListContainerStatsRequest, ListContainerStatsResponse } from "../../gen/runtime/v1/api.ts"
import { ContainerState } from "../../gen/runtime/v1/api.ts"
import { Pods } from "../../pod/Pods.ts"
import { ContainerStats } from "../../stats/ContainerStats.ts"
import { containerMatches } from "./containerWire.ts"
import { toContainerStats } from "./statsWire.ts"

/** Containers that are sampled at a time: each is a handful of small files. */
const width = 8

export const listContainerStats = Effect.fn("RuntimeService.ListContainerStats")(function* ({
  filter
}: ListContainerStatsRequest) {
  const stats = yield* ContainerStats
  const { containers } = yield* (yield* Pods).snapshot
  const running = { state: ContainerState.CONTAINER_RUNNING }
  const wanted = Array.from(containers.values()).filter((container) =>
    containerMatches(container, {
      id: filter?.id ?? "",
      podSandboxId: filter?.podSandboxId ?? "",
      labelSelector: filter?.labelSelector ?? {},
      state: running
    })
  )
  const samples = yield* Effect.forEach(
    wanted,
    (container) => Effect.map(stats.sample(container), (sample) => ({ container, sample })),
    { concurrency: width }
  )
  const there = samples.filter(({ sample }) => sample.cpuTimeNs !== undefined || sample.memory !== undefined)
  return {
    stats: there.map(({ container, sample }) => toContainerStats(container, sample))
  } satisfies ListContainerStatsResponse
})
