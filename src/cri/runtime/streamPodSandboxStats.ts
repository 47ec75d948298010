/** RuntimeService.StreamPodSandboxStats: ListPodSandboxStats in several messages. */
import { PodSandboxStats, type StreamPodSandboxStatsRequest } from "../../gen/runtime/v1/api.ts"
import { streamed } from "../streamed.ts"
import { podStatsLike } from "./listPodSandboxStats.ts"

export const streamPodSandboxStats = ({ filter }: StreamPodSandboxStatsRequest) =>
  streamed(PodSandboxStats, podStatsLike(filter))
