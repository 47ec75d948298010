/** What the processes of a container have open, from /proc. */
import { Effect } from "effect"
import { Cgroups } from "../../cgroup/Cgroups.ts"
import { Files } from "../../linux/Files.ts"
import type { ProcessFacts } from "./ContainerFacts.ts"

/** Descriptors of a container that are looked at: each costs some microseconds, and a container may open millions. */
const mostDescriptors = 20_000

/** The one that dashboards compare with (proc_pid_limits(5)). */
const openFiles = /^Max open files\s+(\d+)\s/m

const softLimits = (text: string | undefined): ProcessFacts["softLimits"] => {
  const value = openFiles.exec(text ?? "")?.[1]
  return value === undefined ? [] : [{ name: "max_open_files", value: BigInt(value) }]
}

/** Processes that end meanwhile do not count. */
export const readProcessFacts = Effect.fn("readProcessFacts")(function* (cgroup: string, init: number) {
  const files = yield* Files
  const cgroups = yield* Cgroups
  const pids = yield* cgroups.processes(cgroup)
  let [count, descriptors, sockets] = [0, 0, 0]
  for (const pid of pids) {
    const links = yield* files.readKernelLinks(`/proc/${pid}/fd`, mostDescriptors - descriptors)
    if (links === undefined) continue
    count += 1
    descriptors += links.length
    sockets += links.filter((target) => target.startsWith("socket:")).length
  }
  const [limits] = yield* files.readKernelTexts([`/proc/${init}/limits`])
  return {
    count: BigInt(count),
    descriptors: BigInt(descriptors),
    sockets: BigInt(sockets),
    softLimits: softLimits(limits)
  } satisfies ProcessFacts
})
