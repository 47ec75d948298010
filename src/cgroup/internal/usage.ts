/** What a cgroup uses, out of the files of either version. */
import type { MemoryUse, Pressure, SwapUse, Usage } from "../Usage.ts"
import { findKeyed, parseCount, parseKeyed, parseLimit, parsePressure } from "./files.ts"

/** The text of one of a cgroup's files; undefined when it is not there. */
export type Text = (name: string) => string | undefined

/** Files by the controller in whose hierarchy they are; v2 has only one. */
export type FileNames = Readonly<Record<string, ReadonlyArray<string>>>

export const usageFiles: Readonly<Record<1 | 2, FileNames>> = {
  1: {
    cpuacct: ["cpuacct.usage"],
    memory: ["memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat", "memory.memsw.limit_in_bytes"],
    pids: ["pids.current"]
  },
  2: {
    cpu: ["cpu.stat", "cpu.pressure"],
    memory: [
      "memory.current",
      "memory.max",
      "memory.stat",
      "memory.swap.current",
      "memory.swap.max",
      "memory.pressure"
    ],
    io: ["io.pressure"],
    pids: ["pids.current"]
  }
}

export const countOf = (text: string | undefined): bigint | undefined =>
  text === undefined ? undefined : parseCount(text)

export const limitOf = (text: string | undefined): bigint | undefined =>
  text === undefined ? undefined : parseLimit(text)

const memoryOf = (
  usage: string | undefined,
  stat: string | undefined,
  limitBytes: bigint | undefined,
  names: { readonly prefix: string; readonly rss: string }
): MemoryUse | undefined => {
  if (usage === undefined || stat === undefined) return undefined
  const usageBytes = parseCount(usage)
  const counted = (name: string) => parseKeyed(stat, `${names.prefix}${name}`)
  const inactive = counted("inactive_file")
  return {
    usageBytes,
    limitBytes,
    workingSetBytes: usageBytes > inactive ? usageBytes - inactive : 0n,
    rssBytes: counted(names.rss),
    pageFaults: counted("pgfault"),
    majorPageFaults: counted("pgmajfault")
  }
}

/** v1 limits memory and swap together. */
const swapV1 = (text: Text): SwapUse | undefined => {
  const both = text("memory.memsw.limit_in_bytes")
  if (both === undefined) return undefined
  const together = parseLimit(both)
  const memory = limitOf(text("memory.limit_in_bytes"))
  return {
    usageBytes: parseKeyed(text("memory.stat") ?? "", "total_swap"),
    limitBytes: together === undefined || memory === undefined ? undefined : together - memory
  }
}

const usageV1 = (text: Text): Usage => {
  return {
    cpuTimeNs: countOf(text("cpuacct.usage")),
    // Without the prefix the values are those of the cgroup alone; with it of the tree, as v2's are.
    memory: memoryOf(text("memory.usage_in_bytes"), text("memory.stat"), limitOf(text("memory.limit_in_bytes")), {
      prefix: "total_",
      rss: "rss"
    }),
    swap: swapV1(text),
    pressure: { cpu: undefined, memory: undefined, io: undefined },
    tasks: countOf(text("pids.current"))
  }
}

const pressureOf = (text: string | undefined): Pressure | undefined =>
  text === undefined ? undefined : { some: parsePressure(text, "some"), full: parsePressure(text, "full") }

const usageV2 = (text: Text): Usage => {
  const cpuMicroseconds = findKeyed(text("cpu.stat") ?? "", "usage_usec")
  const swap = text("memory.swap.current")
  return {
    cpuTimeNs: cpuMicroseconds === undefined ? undefined : cpuMicroseconds * 1000n,
    memory: memoryOf(text("memory.current"), text("memory.stat"), limitOf(text("memory.max")), {
      prefix: "",
      rss: "anon"
    }),
    swap:
      swap === undefined ? undefined : { usageBytes: parseCount(swap), limitBytes: limitOf(text("memory.swap.max")) },
    pressure: {
      cpu: pressureOf(text("cpu.pressure")),
      memory: pressureOf(text("memory.pressure")),
      io: pressureOf(text("io.pressure"))
    },
    tasks: countOf(text("pids.current"))
  }
}

export const usageOf = (version: 1 | 2, text: Text): Usage => (version === 2 ? usageV2(text) : usageV1(text))
