/** RuntimeService.StreamPodSandboxMetrics: ListPodSandboxMetrics in several messages. */
import type { StreamPodSandboxMetricsRequest } from "../../gen/runtime/v1/api.ts"
import { streamed } from "../streamed.ts"
import { asEncoded, encodedPodMetrics } from "./listPodSandboxMetrics.ts"

export const streamPodSandboxMetrics = (_request: StreamPodSandboxMetricsRequest) =>
  streamed(asEncoded, encodedPodMetrics)
