/** Puts processes into cgroups: into one that is made for them, or into those of another process. */
import { Effect } from "effect"
import { posix } from "node:path"
import type { Files } from "../../linux/Files.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import type { CgroupError } from "../CgroupError.ts"
import type { Cgroups } from "../Cgroups.ts"
import { parseOwnCgroups } from "./files.ts"
import type { Hierarchies } from "./hierarchies.ts"

/** Without a list of processors and of memory a v1 cpuset takes no process (cpuset(7)); v2 inherits both. */
const cpusetFiles = ["cpuset.cpus", "cpuset.mems"]

export const makePlacement = (
  files: Files["Service"],
  { version, controllers, mounts }: Hierarchies,
  below: (mount: string, cgroup: string) => Effect.Effect<string, CgroupError>
): Pick<Cgroups["Service"], "make" | "follow"> => {
  const fillCpusets = Effect.fnUntraced(function* (mount: string, cgroup: string) {
    let parent = mount
    for (const name of cgroup.split("/").filter((part) => part !== "")) {
      const child = posix.join(parent, name)
      for (const file of cpusetFiles) {
        if ((yield* files.readText(posix.join(child, file))).trim() !== "") continue
        yield* files.writeExisting(posix.join(child, file), (yield* files.readText(posix.join(parent, file))).trim())
      }
      parent = child
    }
  })

  const make = Effect.fn("Cgroups.make")(function* (cgroup: string) {
    const made: Array<string> = []
    for (const mount of mounts) {
      const path = yield* below(mount, cgroup)
      yield* files.makeDirectory(path, { mode: 0o755, recursive: true })
      if (version === 1 && mount === controllers.get("cpuset")) yield* fillCpusets(mount, cgroup)
      made.push(path)
    }
    return made
  })

  const mountOf = (names: ReadonlyArray<string>): string | undefined => {
    if (version === 2) return names.length === 0 ? mounts[0] : undefined
    const first = names.find((name) => controllers.has(name))
    return first === undefined ? undefined : controllers.get(first)
  }

  const follow = Effect.fn("Cgroups.follow")(function* (
    pid: number,
    leader: number
  ): Effect.fn.Return<void, LinuxError | CgroupError> {
    for (const { controllers: names, path } of parseOwnCgroups(yield* files.readText(`/proc/${leader}/cgroup`))) {
      const mount = mountOf(names)
      // One that is in the root of a hierarchy has no cgroup there.
      if (mount === undefined || path === "/") continue
      yield* files.writeExisting(posix.join(yield* below(mount, path), "cgroup.procs"), String(pid)).pipe(
        // It has ended.
        Effect.catchIf(
          ({ _tag, code }) => _tag === "LinuxError" && code === "ESRCH",
          () => Effect.void
        )
      )
    }
  })

  return { make, follow }
}
