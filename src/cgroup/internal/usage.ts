/** What a cgroup uses, from the files of either version. */
import { Effect } from "effect"
import { posix } from "node:path"
import type { Files } from "../../linux/Files.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import type { CgroupError } from "../CgroupError.ts"
import type { Cgroups, MemoryUse, Pressure, SwapUse } from "../Cgroups.ts"
import { parseCount, parseKeyed, parseLimit, parsePressure } from "./files.ts"

type Readers = Pick<Cgroups["Service"], "memory" | "swap" | "cpuTimeNs" | "pressure" | "oomKills" | "processCount">

interface Hierarchy {
  readonly version: 1 | 2
  /** The directory in which a controller's files of the cgroup are. */
  readonly directory: (controller: string, cgroup: string) => Effect.Effect<string, CgroupError>
}

export const makeReaders = (files: Files["Service"], { version, directory }: Hierarchy): Readers => {
  const reader = Effect.fnUntraced(function* (controller: string, cgroup: string) {
    const path = yield* directory(controller, cgroup)
    return (name: string) => files.readText(posix.join(path, name))
  })

  const memory = Effect.fn("Cgroups.memory")(function* (cgroup: string) {
    const read = yield* reader("memory", cgroup)
    const usageBytes = parseCount(yield* read(version === 2 ? "memory.current" : "memory.usage_in_bytes"))
    const limitBytes = parseLimit(yield* read(version === 2 ? "memory.max" : "memory.limit_in_bytes"))
    const stat = yield* read("memory.stat")
    // v1 counts the cgroup alone; its total_ values are those of the tree, as v2's are.
    const counted = (name: string) => parseKeyed(stat, version === 2 ? name : `total_${name}`)
    const inactive = counted("inactive_file")
    return {
      usageBytes,
      limitBytes,
      workingSetBytes: usageBytes > inactive ? usageBytes - inactive : 0n,
      rssBytes: counted(version === 2 ? "anon" : "rss"),
      pageFaults: counted("pgfault"),
      majorPageFaults: counted("pgmajfault")
    } satisfies MemoryUse
  })

  /** The files are there only where the kernel accounts for swap. */
  const swap = Effect.fn("Cgroups.swap")(
    function* (cgroup: string) {
      const read = yield* reader("memory", cgroup)
      if (version === 2) {
        const usageBytes = parseCount(yield* read("memory.swap.current"))
        return { usageBytes, limitBytes: parseLimit(yield* read("memory.swap.max")) } satisfies SwapUse
      }
      // v1 limits memory and swap together.
      const both = parseLimit(yield* read("memory.memsw.limit_in_bytes"))
      const memoryLimit = parseLimit(yield* read("memory.limit_in_bytes"))
      return {
        usageBytes: parseKeyed(yield* read("memory.stat"), "total_swap"),
        limitBytes: both === undefined || memoryLimit === undefined ? undefined : both - memoryLimit
      } satisfies SwapUse
    },
    Effect.catchTag("LinuxError", (error) => (isMissing(error) ? Effect.succeed(undefined) : Effect.fail(error)))
  )

  const cpuTimeNs = Effect.fn("Cgroups.cpuTimeNs")(function* (cgroup: string) {
    const read = yield* reader("cpuacct", cgroup)
    return version === 2
      ? parseKeyed(yield* read("cpu.stat"), "usage_usec") * 1000n
      : parseCount(yield* read("cpuacct.usage"))
  })

  const pressure: Readers["pressure"] = Effect.fn("Cgroups.pressure")(
    function* (cgroup: string, resource: "cpu" | "memory" | "io") {
      if (version === 1) return undefined
      const read = yield* reader(resource, cgroup)
      const text = yield* read(`${resource}.pressure`)
      return { some: parsePressure(text, "some"), full: parsePressure(text, "full") } satisfies Pressure
    },
    Effect.catchTag("LinuxError", (error) => (isMissing(error) ? Effect.succeed(undefined) : Effect.fail(error)))
  )

  const oomKills = Effect.fn("Cgroups.oomKills")(function* (cgroup: string) {
    const read = yield* reader("memory", cgroup)
    return parseKeyed(yield* read(version === 2 ? "memory.events" : "memory.oom_control"), "oom_kill")
  })

  const processCount = Effect.fn("Cgroups.processCount")(function* (cgroup: string) {
    const read = yield* reader("pids", cgroup)
    return { current: parseCount(yield* read("pids.current")), limit: parseLimit(yield* read("pids.max")) }
  })

  return { memory, swap, cpuTimeNs, pressure, oomKills, processCount }
}

/** EOPNOTSUPP: pressure accounting is built in but switched off. */
const isMissing = (error: LinuxError): boolean => error.code === "ENOENT" || error.code === "EOPNOTSUPP"
