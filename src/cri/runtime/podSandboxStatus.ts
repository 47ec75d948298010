/** RuntimeService.PodSandboxStatus: from the snapshot; NotFound for a pod that was removed. */
import { Clock, Effect } from "effect"
import type { PodSandboxStatusRequest, PodSandboxStatusResponse } from "../../gen/runtime/v1/api.ts"
import { findPod } from "../../pod/lookup.ts"
import { containersOf, listed, Pods } from "../../pod/Pods.ts"
import { toContainerStatus } from "./containerWire.ts"
import { toPodSandboxStatus } from "./podWire.ts"

const integersAsText = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}` : value)

export const podSandboxStatus = Effect.fn("RuntimeService.PodSandboxStatus")(function* (
  request: PodSandboxStatusRequest
) {
  const pod = yield* findPod(request.podSandboxId)
  const containers = containersOf(yield* (yield* Pods).snapshot, pod.id).filter(listed)
  const info = {
    pid: pod.pause?.pid ?? 0,
    state: pod.state._tag,
    name: pod.name,
    resources: pod.resources,
    limits: pod.limits,
    overhead: pod.overhead
  }
  return {
    status: toPodSandboxStatus(pod),
    info: request.verbose ? { info: JSON.stringify(info, integersAsText) } : {},
    containersStatuses: containers.map(toContainerStatus),
    timestamp: yield* Clock.currentTimeNanos
  } satisfies PodSandboxStatusResponse
})
