/** RuntimeService.ListPodSandboxMetrics: of pods that are ready; a container that has just ended is left out. */
import { Effect } from "effect"
import type { ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse } from "../../gen/runtime/v1/api.ts"
import { PodMetrics } from "../../stats/PodMetrics.ts"
import { toPodSandboxMetrics } from "./metricsWire.ts"

export const listPodSandboxMetrics = Effect.fn("RuntimeService.ListPodSandboxMetrics")(function* (
  _request: ListPodSandboxMetricsRequest
) {
  const pods = yield* (yield* PodMetrics).pods
  return { podMetrics: pods.map(toPodSandboxMetrics) } satisfies ListPodSandboxMetricsResponse
})
