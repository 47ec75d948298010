/** RuntimeService.ListContainers: the snapshot; what is still being created is not in it. */
import { Effect } from "effect"
import type { ContainerFilter, ListContainersRequest, ListContainersResponse } from "../../gen/runtime/v1/api.ts"
import { listed, Pods } from "../../pod/Pods.ts"
import { containerMatches, toContainer } from "./containerWire.ts"

export const containersLike = Effect.fnUntraced(function* (filter: ContainerFilter | undefined) {
  const { containers } = yield* (yield* Pods).snapshot
  return Array.from(containers.values())
    .filter((one) => listed(one) && containerMatches(one, filter))
    .map(toContainer)
})

export const listContainers = Effect.fn("RuntimeService.ListContainers")(function* ({ filter }: ListContainersRequest) {
  return { containers: yield* containersLike(filter) } satisfies ListContainersResponse
})
