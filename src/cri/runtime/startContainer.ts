/** RuntimeService.StartContainer: one job per container; a retry attaches to it. */
import { Clock, Effect } from "effect"
import type { StartContainerRequest, StartContainerResponse } from "../../gen/runtime/v1/api.ts"
import { Processes } from "../../linux/Processes.ts"
import { RuntimeHandlers } from "../../oci/RuntimeHandlers.ts"
import { Admission } from "../../pod/Admission.ts"
import { startOf } from "../../pod/exits.ts"
import { Jobs } from "../../pod/Jobs.ts"
import { findContainer } from "../../pod/lookup.ts"
import { WrongState } from "../../pod/PodError.ts"
import { Pods } from "../../pod/Pods.ts"
import { startProcess } from "../../pod/startProcess.ts"
import { SIGKILL } from "../../model/Signal.ts"

export const startContainer = Effect.fn("RuntimeService.StartContainer")(function* (request: StartContainerRequest) {
  const jobs = yield* Jobs
  const admission = yield* Admission
  const { id } = yield* findContainer(request.containerId)
  yield* jobs.attach(startOf(id), start(id).pipe(admission.admit(`start of container ${id}`)))
  return {} satisfies StartContainerResponse
})

const start = Effect.fnUntraced(function* (id: string) {
  const pods = yield* Pods
  const handlers = yield* RuntimeHandlers
  const processes = yield* Processes
  const container = yield* pods.container(id)
  const created = container.state
  if (created._tag !== "Created") {
    const reason = `it is ${created._tag}, not Created`
    return yield* new WrongState({ object: `container ${id}`, action: "start", reason })
  }
  const handler = yield* handlers.get(container.handler, container.platform)
  // Before the process can run: an end that the monitor writes down before the runtime answers is not before the start.
  const startedNs = yield* Clock.currentTimeNanos
  yield* startProcess(handler, id, created).pipe(
    Effect.tapError(({ message }) =>
      Effect.flatMap(Clock.currentTimeNanos, (atNs) =>
        pods.moveContainer(id, { _tag: "StartFailed", atNs, message })
      ).pipe(
        // Asked to stop meanwhile: that goes on, and the start's own failure stays the answer.
        Effect.catchTag(["ContainerNotFound", "WrongState"], () => Effect.void),
        Effect.andThen(processes.signal(created, SIGKILL))
      )
    )
  )
  yield* pods.moveContainer(id, { _tag: "Started", atNs: startedNs })
})
