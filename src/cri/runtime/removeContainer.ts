/** RuntimeService.RemoveContainer: ends and removes a container; succeeds for an unknown one. */
import { Effect } from "effect"
import type { RemoveContainerRequest, RemoveContainerResponse } from "../../gen/runtime/v1/api.ts"
import { findContainer } from "../../pod/lookup.ts"
import { removeContainer as remove } from "../../pod/remove.ts"

export const removeContainer = Effect.fn("RuntimeService.RemoveContainer")(function* (request: RemoveContainerRequest) {
  yield* findContainer(request.containerId).pipe(
    Effect.flatMap(({ id }) => remove(id)),
    Effect.catchTag("ContainerNotFound", () => Effect.void)
  )
  return {} satisfies RemoveContainerResponse
})
