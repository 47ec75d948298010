/** RuntimeService.ListPodSandbox: the snapshot; what is still starting is not in it. */
import { Effect } from "effect"
import type { ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxFilter } from "../../gen/runtime/v1/api.ts"
import { listed, Pods } from "../../pod/Pods.ts"
import { podMatches, toPodSandbox } from "./podWire.ts"

export const podsLike = Effect.fnUntraced(function* (filter: PodSandboxFilter | undefined) {
  const { pods } = yield* (yield* Pods).snapshot
  return Array.from(pods.values())
    .filter((pod) => listed(pod) && podMatches(pod, filter))
    .map(toPodSandbox)
})

export const listPodSandbox = Effect.fn("RuntimeService.ListPodSandbox")(function* ({ filter }: ListPodSandboxRequest) {
  return { items: yield* podsLike(filter) } satisfies ListPodSandboxResponse
})
