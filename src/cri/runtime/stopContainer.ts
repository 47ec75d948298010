/** RuntimeService.StopContainer: waits until it has exited; succeeds for one that is stopped or unknown. */
import { Effect } from "effect"
import type { StopContainerRequest, StopContainerResponse } from "../../gen/runtime/v1/api.ts"
import { findContainer } from "../../pod/lookup.ts"
import { stopContainer as stop } from "../../pod/stopContainer.ts"

/** A grace period of 0 seconds or less kills at once. */
export const stopContainer = Effect.fn("RuntimeService.StopContainer")(function* (request: StopContainerRequest) {
  const grace = Math.max(0, Number(request.timeout))
  yield* findContainer(request.containerId).pipe(
    Effect.flatMap(({ id }) => stop(id, grace)),
    Effect.catchTag("ContainerNotFound", () => Effect.void)
  )
  return {} satisfies StopContainerResponse
})
