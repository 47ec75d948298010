/** RuntimeService.StreamPodSandboxes: ListPodSandbox in several messages. */
import type { StreamPodSandboxesRequest } from "../../gen/runtime/v1/api.ts"
import { PodSandbox } from "../../gen/runtime/v1/api.ts"
import { streamed } from "../streamed.ts"
import { podsLike } from "./listPodSandbox.ts"

export const streamPodSandboxes = ({ filter }: StreamPodSandboxesRequest) => streamed(PodSandbox, podsLike(filter))
