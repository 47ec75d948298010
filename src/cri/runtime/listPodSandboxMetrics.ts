/** RuntimeService.ListPodSandboxMetrics: of pods that are ready; a container that has just ended is left out. */
import { Effect } from "effect"
import { type ListPodSandboxMetricsRequest, PodSandboxMetrics } from "../../gen/runtime/v1/api.ts"
import { PodMetrics, type PodMetricSamples } from "../../stats/PodMetrics.ts"
import { inOneMessage, type ItemType } from "../streamed.ts"
import { toPodSandboxMetrics } from "./metricsWire.ts"

/** A pod has some hundred metrics; between two, others get their turn. */
const encoded = (pod: PodMetricSamples) =>
  Effect.map(Effect.yieldNow, () => PodSandboxMetrics.encode(toPodSandboxMetrics(pod)).finish())

export const encodedPodMetrics = Effect.gen(function* () {
  return yield* Effect.forEach(yield* (yield* PodMetrics).pods, encoded)
})

export const asEncoded: ItemType<Uint8Array> = { encode: (bytes) => ({ finish: () => bytes }) }

export const listPodSandboxMetrics = Effect.fn("RuntimeService.ListPodSandboxMetrics")(function* (
  _request: ListPodSandboxMetricsRequest
) {
  return inOneMessage(asEncoded, yield* encodedPodMetrics)
})
