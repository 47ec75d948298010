/** RuntimeService.ListPodSandbox: the snapshot; what is still starting is not in it. */
import { Effect } from "effect"
import type { ListPodSandboxRequest, ListPodSandboxResponse } from "../../gen/runtime/v1/api.ts"
import { listed, Pods } from "../../pod/Pods.ts"
import { podMatches, toPodSandbox } from "./podWire.ts"

export const listPodSandbox = Effect.fn("RuntimeService.ListPodSandbox")(function* ({ filter }: ListPodSandboxRequest) {
  const { pods } = yield* (yield* Pods).snapshot
  const items = Array.from(pods.values()).filter((pod) => listed(pod) && podMatches(pod, filter))
  return { items: items.map(toPodSandbox) } satisfies ListPodSandboxResponse
})
