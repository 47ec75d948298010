/** Ends what an OCI runtime and a monitor have of a container, at whatever point its making or its life was left. */
import { Effect } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Conmon } from "../conmon/Conmon.ts"
import { Processes } from "../linux/Processes.ts"
import { OciRuntime } from "../oci/OciRuntime.ts"
import { RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { PodSettings } from "./PodSettings.ts"
import type { Resource } from "./Resource.ts"

const SIGKILL = 9

/** Monitor first: while it lives it may still be making what is to be ended. */
export const releaseRuntime = Effect.fn("releaseRuntime")(function* (
  row: Extract<Resource, { readonly _tag: "Runtime" }>
) {
  const handler = yield* (yield* RuntimeHandlers).get(row.handler)
  const conmon = yield* Conmon
  const cgroups = yield* Cgroups
  const processes = yield* Processes
  const runtime = yield* OciRuntime
  const { exitsDirectory, attachSocketDirectory } = yield* PodSettings
  const { containerId, bundle, cgroup } = row

  const kill = (pid: number) =>
    Effect.flatMap(processes.find(pid), (found) =>
      found._tag === "Some" ? Effect.asVoid(processes.signal(found.value, SIGKILL)) : Effect.void
    )
  yield* conmon.cleanup({
    containerId,
    bundle,
    exitDirectory: exitsDirectory,
    socketDirectory: attachSocketDirectory
  })
  if (cgroup !== "") yield* cgroups.killAll(cgroup, kill)
  yield* runtime.delete(handler, containerId)
  if (cgroup !== "") yield* cgroups.remove(cgroup)
})
