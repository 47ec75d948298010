/** RuntimeService.StreamContainerStats: ListContainerStats in several messages. */
import type { StreamContainerStatsRequest } from "../../gen/runtime/v1/api.ts"
import { streamed } from "../streamed.ts"
import { containerSamplesLike, encodedContainerStats } from "./listContainerStats.ts"

export const streamContainerStats = ({ filter }: StreamContainerStatsRequest) =>
  streamed(encodedContainerStats(), containerSamplesLike(filter))
