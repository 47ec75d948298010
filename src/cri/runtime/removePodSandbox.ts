/** RuntimeService.RemovePodSandbox: stops and removes a pod with its containers; succeeds for an unknown one. */
import { Effect } from "effect"
import type { RemovePodSandboxRequest, RemovePodSandboxResponse } from "../../gen/runtime/v1/api.ts"
import { findPod } from "../../pod/lookup.ts"
import { removePod } from "../../pod/remove.ts"

export const removePodSandbox = Effect.fn("RuntimeService.RemovePodSandbox")(function* (
  request: RemovePodSandboxRequest
) {
  yield* findPod(request.podSandboxId).pipe(
    Effect.flatMap(({ id }) => removePod(id)),
    Effect.catchTag("PodNotFound", () => Effect.void)
  )
  return {} satisfies RemovePodSandboxResponse
})
