/** RuntimeService.ContainerStatus: from the snapshot; NotFound for a container that was removed. */
import { Effect } from "effect"
import type { ContainerStatusRequest, ContainerStatusResponse } from "../../gen/runtime/v1/api.ts"
import { findContainer } from "../../pod/lookup.ts"
import { toContainerStatus } from "./containerWire.ts"

export const containerStatus = Effect.fn("RuntimeService.ContainerStatus")(function* (request: ContainerStatusRequest) {
  const container = yield* findContainer(request.containerId)
  const info = {
    sandboxID: container.podId,
    pid: "pid" in container.state ? container.state.pid : 0,
    state: container.state._tag,
    name: container.name,
    privileged: container.privileged,
    runtime: container.handler,
    bundle: container.bundle,
    resources: container.resources
  }
  return {
    status: toContainerStatus(container),
    info: request.verbose ? { info: JSON.stringify(info) } : {}
  } satisfies ContainerStatusResponse
})
