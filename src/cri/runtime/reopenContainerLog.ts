/** RuntimeService.ReopenContainerLog: after kubelet has renamed the log. Never waits for a stop. */
import { Effect } from "effect"
import { Conmon } from "../../conmon/Conmon.ts"
import type { ReopenContainerLogRequest, ReopenContainerLogResponse } from "../../gen/runtime/v1/api.ts"
import { findContainer } from "../../pod/lookup.ts"
import { WrongState } from "../../pod/PodError.ts"

export const reopenContainerLog = Effect.fn("RuntimeService.ReopenContainerLog")(function* (
  request: ReopenContainerLogRequest
) {
  const conmon = yield* Conmon
  const { id, bundle, logPath, state } = yield* findContainer(request.containerId)
  if (state._tag !== "Running" && state._tag !== "Stopping") {
    return yield* new WrongState({
      object: `container ${id}`,
      action: "reopen the log of",
      reason: `it is ${state._tag}, not running`
    })
  }
  if (logPath !== "") yield* conmon.reopenLog({ containerId: id, bundle, logPath })
  return {} satisfies ReopenContainerLogResponse
})
