/** RuntimeService.StreamPodSandboxMetrics: ListPodSandboxMetrics in several messages. */
import { Effect } from "effect"
import { PodSandboxMetrics, type StreamPodSandboxMetricsRequest } from "../../gen/runtime/v1/api.ts"
import { PodMetrics } from "../../stats/PodMetrics.ts"
import { streamed } from "../streamed.ts"
import { toPodSandboxMetrics } from "./metricsWire.ts"

export const streamPodSandboxMetrics = (_request: StreamPodSandboxMetricsRequest) =>
  streamed(
    PodSandboxMetrics,
    Effect.flatMap(PodMetrics, ({ pods }) => Effect.map(pods, (all) => all.map(toPodSandboxMetrics)))
  )
