/** Ends what an OCI runtime and a monitor have of a container, at whatever point its making or its life was left. */
import { Effect, Option } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Conmon } from "../conmon/Conmon.ts"
import { Processes } from "../linux/Processes.ts"
import { OciRuntime } from "../oci/OciRuntime.ts"
import { type RuntimeHandler, RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { killCgroup } from "./killCgroup.ts"
import { PodSettings } from "./PodSettings.ts"
import type { Resource } from "./Resource.ts"

/**
 * A process leaves its cgroup before it has ended, and its runtime calls it running until then: the first one of a PID
 * namespace waits in between for all others of it. Bounded, since nothing but the runtime's word says what it waits for.
 */
const endLimit = "10 seconds"

/** Whether the runtime's process of an emptied cgroup, if it still saw one, has ended by now. */
const awaitInit = Effect.fnUntraced(function* (handler: RuntimeHandler, containerId: string) {
  const processes = yield* Processes
  const { status, pid } = yield* (yield* OciRuntime).state(handler, containerId)
  if (status === "stopped") return true
  const init = yield* processes.find(pid)
  if (Option.isNone(init)) return true
  return Option.isSome(yield* processes.awaitEnd(init.value).pipe(Effect.timeoutOption(endLimit)))
})

/** Of a container whose processes are killed: an end that is still under way is waited for. */
const deleteKilled = Effect.fnUntraced(function* (handler: RuntimeHandler, containerId: string) {
  const runtime = yield* OciRuntime
  yield* runtime.delete(handler, containerId).pipe(
    Effect.catchTag("RuntimeCommandFailed", (failure) =>
      awaitInit(handler, containerId).pipe(
        Effect.catchTag("RuntimeContainerUnknown", () => Effect.succeed(true)),
        Effect.flatMap((ended) => (ended ? runtime.delete(handler, containerId) : Effect.fail(failure)))
      )
    )
  )
})

/** Monitor first: while it lives it may still be making what is to be ended. */
export const releaseRuntime = Effect.fn("releaseRuntime")(function* (
  row: Extract<Resource, { readonly _tag: "Runtime" }>
) {
  const conmon = yield* Conmon
  const cgroups = yield* Cgroups
  const { exitsDirectory, attachSocketDirectory } = yield* PodSettings
  const { containerId, bundle, cgroup, monitorCgroup = "" } = row

  yield* conmon.cleanup({
    containerId,
    bundle,
    exitDirectory: exitsDirectory,
    socketDirectory: attachSocketDirectory
  })
  yield* killCgroup(cgroup)
  yield* (yield* RuntimeHandlers).get(row.handler, row.platform).pipe(
    Effect.flatMap((handler) => deleteKilled(handler, containerId)),
    // Taken out of the configuration while containers of it were there: the rest must not wait until it comes back.
    Effect.catchTag("UnknownRuntimeHandler", ({ message }) =>
      Effect.logWarning(`container ${containerId} is removed without its runtime, whose state may stay: ${message}`)
    )
  )
  if (cgroup !== "") yield* cgroups.remove(cgroup)
  if (monitorCgroup === "") return
  // Hooks run there too, and may have left something.
  yield* killCgroup(monitorCgroup)
  yield* cgroups.remove(monitorCgroup)
})
