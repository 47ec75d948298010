/** RuntimeService.UpdateContainerResources: all of it or none; ContainerStatus.resources shows what holds. */
import { Effect } from "effect"
import type { UpdateContainerResourcesRequest, UpdateContainerResourcesResponse } from "../../gen/runtime/v1/api.ts"
import { findContainer } from "../../pod/lookup.ts"
import { InvalidRequest } from "../../pod/PodError.ts"
import { updateContainer } from "../../pod/updateContainer.ts"

export const updateContainerResources = Effect.fn("RuntimeService.UpdateContainerResources")(function* (
  request: UpdateContainerResourcesRequest
) {
  const { id } = yield* findContainer(request.containerId)
  if (request.linux === undefined) {
    return yield* new InvalidRequest({ field: "linux", reason: "is missing: there is nothing to change" })
  }
  yield* updateContainer(id, request.linux)
  return {} satisfies UpdateContainerResourcesResponse
})
