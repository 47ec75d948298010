/** Kills whatever still runs in a container's cgroup. */
import { Effect } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Processes } from "../linux/Processes.ts"
import { SIGKILL } from "../model/Signal.ts"

/** Succeeds when nothing is left, also when the cgroup is gone; "" names none. Bounded by `Cgroups.killAll`. */
export const killCgroup = Effect.fn("killCgroup")(function* (cgroup: string) {
  if (cgroup === "") return
  const cgroups = yield* Cgroups
  const processes = yield* Processes
  yield* cgroups.killAll(cgroup, (pid) =>
    Effect.flatMap(processes.find(pid), (found) =>
      found._tag === "Some" ? Effect.asVoid(processes.signal(found.value, SIGKILL)) : Effect.void
    )
  )
})
