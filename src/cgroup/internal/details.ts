/** What metrics tell of a cgroup beyond its usage, out of the files of either version. */
import type { CpuDetails, Details, DeviceIo, HugepageUse, MemoryDetails } from "../Usage.ts"
import { findKeyed, parseCount, parseKeyed } from "./files.ts"
import { countOf, type FileNames, limitOf, type Text } from "./usage.ts"

/** Besides the files of usage. */
export const detailFiles = (version: 1 | 2, pageSizes: ReadonlyArray<string>): FileNames =>
  version === 2
    ? {
        memory: ["memory.peak", "memory.events"],
        pids: ["pids.max"],
        io: ["io.stat"],
        hugetlb: pageSizes.map((size) => `hugetlb.${size}.current`)
      }
    : {
        cpuacct: ["cpuacct.stat"],
        cpu: ["cpu.stat"],
        memory: ["memory.kmem.usage_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt", "memory.oom_control"],
        pids: ["pids.max"],
        blkio: ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"],
        hugetlb: pageSizes.flatMap((size) => [`hugetlb.${size}.usage_in_bytes`, `hugetlb.${size}.max_usage_in_bytes`])
      }

/** The size in the name of a file of the hugetlb controller; undefined for other files. */
export const pageSizeOf = (name: string): string | undefined =>
  /^hugetlb\.(\w+)\.(usage_in_bytes|current)$/.exec(name)?.[1]

/** Nanoseconds of a tick of cpuacct.stat (USER_HZ is 100 wherever Linux runs Node). */
const tickNs = 10_000_000n

const cpuV1 = (text: Text): CpuDetails | undefined => {
  const used = text("cpuacct.stat")
  if (used === undefined) return undefined
  const stat = text("cpu.stat") ?? ""
  return {
    userNs: parseKeyed(used, "user") * tickNs,
    systemNs: parseKeyed(used, "system") * tickNs,
    periods: parseKeyed(stat, "nr_periods"),
    throttledPeriods: parseKeyed(stat, "nr_throttled"),
    throttledNs: parseKeyed(stat, "throttled_time")
  }
}

const cpuV2 = (text: Text): CpuDetails | undefined => {
  const stat = text("cpu.stat")
  if (stat === undefined) return undefined
  return {
    userNs: parseKeyed(stat, "user_usec") * 1000n,
    systemNs: parseKeyed(stat, "system_usec") * 1000n,
    periods: parseKeyed(stat, "nr_periods"),
    throttledPeriods: parseKeyed(stat, "nr_throttled"),
    throttledNs: parseKeyed(stat, "throttled_usec") * 1000n
  }
}

const memoryV1 = (text: Text): MemoryDetails | undefined => {
  const stat = text("memory.stat")
  if (stat === undefined) return undefined
  return {
    cacheBytes: parseKeyed(stat, "total_cache"),
    kernelBytes: countOf(text("memory.kmem.usage_in_bytes")),
    mappedFileBytes: parseKeyed(stat, "total_mapped_file"),
    maxUsageBytes: countOf(text("memory.max_usage_in_bytes")),
    limitHits: countOf(text("memory.failcnt")) ?? 0n,
    ownPageFaults: parseKeyed(stat, "pgfault"),
    ownMajorPageFaults: parseKeyed(stat, "pgmajfault")
  }
}

const memoryV2 = (text: Text): MemoryDetails | undefined => {
  const stat = text("memory.stat")
  if (stat === undefined) return undefined
  return {
    cacheBytes: parseKeyed(stat, "file"),
    // Since Linux 5.18; before, the sum of it that the kernel tells.
    kernelBytes:
      findKeyed(stat, "kernel") ??
      ["kernel_stack", "pagetables", "percpu", "slab"].reduce((sum, name) => sum + parseKeyed(stat, name), 0n),
    mappedFileBytes: parseKeyed(stat, "file_mapped"),
    maxUsageBytes: countOf(text("memory.peak")),
    limitHits: parseKeyed(text("memory.events") ?? "", "max"),
    ownPageFaults: parseKeyed(stat, "pgfault"),
    ownMajorPageFaults: parseKeyed(stat, "pgmajfault")
  }
}

const hugepages = (version: 1 | 2, text: Text, pageSizes: ReadonlyArray<string>): ReadonlyArray<HugepageUse> =>
  pageSizes.flatMap((pageSize) => {
    const usage = text(`hugetlb.${pageSize}.${version === 2 ? "current" : "usage_in_bytes"}`)
    if (usage === undefined) return []
    return [
      {
        pageSize,
        usageBytes: parseCount(usage),
        maxUsageBytes: version === 2 ? undefined : countOf(text(`hugetlb.${pageSize}.max_usage_in_bytes`))
      }
    ]
  })

/** Lines "8:0 Read 4096", and a last one that sums up all devices and is left out. */
const ioV1 = (text: Text): ReadonlyArray<DeviceIo> => {
  const linesOf = (name: string) =>
    [...(text(name) ?? "").matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)].map(([, major, minor, operation, value]) => ({
      major: Number(major),
      minor: Number(minor),
      operation: (operation ?? "").toLowerCase(),
      value: BigInt(value ?? 0)
    }))
  const counts = linesOf("blkio.throttle.io_serviced_recursive")
  return linesOf("blkio.throttle.io_service_bytes_recursive").map(({ major, minor, operation, value }) => {
    const same = counts.find((one) => one.major === major && one.minor === minor && one.operation === operation)
    return { major, minor, operation, bytes: value, count: same?.value ?? 0n }
  })
}

const operationsV2 = [
  ["read", "rbytes", "rios"],
  ["write", "wbytes", "wios"],
  ["discard", "dbytes", "dios"]
] as const

/** Lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0". */
const ioV2 = (text: Text): ReadonlyArray<DeviceIo> =>
  [...(text("io.stat") ?? "").matchAll(/^(\d+):(\d+) (.*)$/gm)].flatMap(([, major, minor, rest = ""]) => {
    const values = new Map(rest.split(" ").map((pair) => pair.split("=") as [string, string]))
    const value = (key: string) => parseCount(values.get(key) ?? "0")
    return operationsV2.map(([operation, bytes, count]) => ({
      major: Number(major),
      minor: Number(minor),
      operation,
      bytes: value(bytes),
      count: value(count)
    }))
  })

export const detailsOf = (version: 1 | 2, text: Text, pageSizes: ReadonlyArray<string>): Details => {
  const deaths = text(version === 2 ? "memory.events" : "memory.oom_control")
  return {
    tasksLimit: limitOf(text("pids.max")),
    cpu: version === 2 ? cpuV2(text) : cpuV1(text),
    memory: version === 2 ? memoryV2(text) : memoryV1(text),
    hugepages: hugepages(version, text, pageSizes),
    io: version === 2 ? ioV2(text) : ioV1(text),
    oomKills: deaths === undefined ? undefined : parseKeyed(deaths, "oom_kill")
  }
}
