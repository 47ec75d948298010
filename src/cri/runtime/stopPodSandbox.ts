/** RuntimeService.StopPodSandbox: succeeds for a pod that is stopped or unknown; kubelet calls it more than once. */
import { Effect } from "effect"
import type { StopPodSandboxRequest, StopPodSandboxResponse } from "../../gen/runtime/v1/api.ts"
import { findPod } from "../../pod/lookup.ts"
import { stopPod } from "../../pod/stopPod.ts"

export const stopPodSandbox = Effect.fn("RuntimeService.StopPodSandbox")(function* (request: StopPodSandboxRequest) {
  yield* findPod(request.podSandboxId).pipe(
    Effect.flatMap(({ id }) => stopPod(id)),
    Effect.catchTag("PodNotFound", () => Effect.void)
  )
  return {} satisfies StopPodSandboxResponse
})
