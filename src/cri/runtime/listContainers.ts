/** RuntimeService.ListContainers: the snapshot; what is still being created is not in it. */
import { Effect } from "effect"
import type { ListContainersRequest, ListContainersResponse } from "../../gen/runtime/v1/api.ts"
import { listed, Pods } from "../../pod/Pods.ts"
import { containerMatches, toContainer } from "./containerWire.ts"

export const listContainers = Effect.fn("RuntimeService.ListContainers")(function* ({ filter }: ListContainersRequest) {
  const { containers } = yield* (yield* Pods).snapshot
  const items = Array.from(containers.values()).filter((one) => listed(one) && containerMatches(one, filter))
  return { containers: items.map(toContainer) } satisfies ListContainersResponse
})
