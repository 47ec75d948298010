/**
 * RuntimeService.UpdatePodSandboxResources: kubelet has resized the pod's cgroup, which is its own, and says so. Kept
 * with the pod; nothing on the host follows from it, as with CRI-O, which only tells NRI plugins.
 */
import { Effect } from "effect"
import type { UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse } from "../../gen/runtime/v1/api.ts"
import { findPod } from "../../pod/lookup.ts"
import { recordedLimits } from "../../pod/Limits.ts"
import { Pods } from "../../pod/Pods.ts"

export const updatePodSandboxResources = Effect.fn("RuntimeService.UpdatePodSandboxResources")(function* (
  request: UpdatePodSandboxResourcesRequest
) {
  const { id } = yield* findPod(request.podSandboxId)
  const overhead = recordedLimits(request.overhead)
  const limits = recordedLimits(request.resources)
  yield* (yield* Pods).amend(id, (pod) => ({
    ...pod,
    ...(overhead !== null && { overhead }),
    ...(limits !== null && { limits })
  }))
  return {} satisfies UpdatePodSandboxResourcesResponse
})
