/** RuntimeService.ListPodSandboxStats: of pods that are ready. */
import { Effect } from "effect"
import type {
  ListPodSandboxStatsRequest,
  ListPodSandboxStatsResponse,
  PodSandboxStatsFilter
} from "../../gen/runtime/v1/api.ts"
import { Pods } from "../../pod/Pods.ts"
import { isReady } from "../../stats/running.ts"
import { Sampler } from "../../stats/Sampler.ts"
import { podMatches } from "./podWire.ts"
import { toPodSandboxStats } from "./statsWire.ts"

export const podStatsLike = Effect.fnUntraced(function* (filter: PodSandboxStatsFilter | undefined) {
  const { pods } = yield* (yield* Pods).snapshot
  const like = filter === undefined ? undefined : { ...filter, state: undefined }
  const wanted = Array.from(pods.values()).filter((pod) => isReady(pod) && podMatches(pod, like))
  return (yield* (yield* Sampler).pods(wanted)).map(toPodSandboxStats)
})

export const listPodSandboxStats = Effect.fn("RuntimeService.ListPodSandboxStats")(function* ({
  filter
}: ListPodSandboxStatsRequest) {
  return { stats: yield* podStatsLike(filter) } satisfies ListPodSandboxStatsResponse
})
