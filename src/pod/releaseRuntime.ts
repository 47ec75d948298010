/** Ends what an OCI runtime and a monitor have of a container, at whatever point its making or its life was left. */
import { Effect } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Conmon } from "../conmon/Conmon.ts"
import { OciRuntime } from "../oci/OciRuntime.ts"
import { RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { killCgroup } from "./killCgroup.ts"
import { PodSettings } from "./PodSettings.ts"
import type { Resource } from "./Resource.ts"

/** Monitor first: while it lives it may still be making what is to be ended. */
export const releaseRuntime = Effect.fn("releaseRuntime")(function* (
  row: Extract<Resource, { readonly _tag: "Runtime" }>
) {
  const conmon = yield* Conmon
  const cgroups = yield* Cgroups
  const runtime = yield* OciRuntime
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
    Effect.flatMap((handler) => runtime.delete(handler, containerId)),
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
