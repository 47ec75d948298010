/** RuntimeService.ListPodSandboxMetrics: of pods that are ready; a container that has just ended is left out. */
import { Effect } from "effect"
import { type ListPodSandboxMetricsRequest, PodSandboxMetrics } from "../../gen/runtime/v1/api.ts"
import { PodMetrics, type PodMetricSamples } from "../../stats/PodMetrics.ts"
import { inOneMessage } from "../streamed.ts"
import { toPodSandboxMetrics } from "./metricsWire.ts"

/** A pod has some hundred metrics; between two, others get their turn. */
const encoded = (pod: PodMetricSamples) =>
  Effect.map(Effect.yieldNow, () => PodSandboxMetrics.encode(toPodSandboxMetrics(pod)).finish())

const asItIs = { encode: (bytes: Uint8Array) => ({ finish: () => bytes }) }

export const listPodSandboxMetrics = Effect.fn("RuntimeService.ListPodSandboxMetrics")(function* (
  _request: ListPodSandboxMetricsRequest
) {
  const pods = yield* (yield* PodMetrics).pods
  return inOneMessage(asItIs, yield* Effect.forEach(pods, encoded))
})
