/** RuntimeService.PodSandboxStats: also of a pod that is not ready, as far as anything of it still uses something. */
import { Effect } from "effect"
import type { PodSandboxStatsRequest, PodSandboxStatsResponse } from "../../gen/runtime/v1/api.ts"
import { findPod } from "../../pod/lookup.ts"
import { PodNotFound } from "../../pod/PodError.ts"
import { Sampler } from "../../stats/Sampler.ts"
import { toPodSandboxStats } from "./statsWire.ts"

export const podSandboxStats = Effect.fn("RuntimeService.PodSandboxStats")(function* (request: PodSandboxStatsRequest) {
  const pod = yield* findPod(request.podSandboxId)
  const [sample] = yield* (yield* Sampler).pods([pod])
  if (sample === undefined) return yield* new PodNotFound({ id: pod.id })
  return { stats: toPodSandboxStats(sample) } satisfies PodSandboxStatsResponse
})
