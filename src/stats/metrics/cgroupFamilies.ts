/** Metrics out of a container's cgroup, with the names and labels that cAdvisor gave them. */
import type { DeviceIo, HugepageUse, Pressure } from "../../cgroup/Usage.ts"
import type { ContainerFacts } from "./ContainerFacts.ts"
import { type Family, makeFamilies } from "./Family.ts"

/** Values are whole numbers (k8s.io/cri-api, Metric.value), so of seconds the fraction is lost. */
const wholeSeconds = (nanoseconds: bigint | undefined): bigint | undefined =>
  nanoseconds === undefined ? undefined : nanoseconds / 1_000_000_000n

const cpu = makeFamilies<ContainerFacts>("cpu")
const cpuFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  cpu.counter("container_cpu_user_seconds_total", "CPU time in user mode, in seconds.", ({ details }) =>
    wholeSeconds(details.cpu?.userNs)
  ),
  cpu.counter("container_cpu_system_seconds_total", "CPU time in kernel mode, in seconds.", ({ details }) =>
    wholeSeconds(details.cpu?.systemNs)
  ),
  {
    ...cpu.counter("container_cpu_usage_seconds_total", "CPU time, in seconds.", () => undefined),
    labels: ["cpu"],
    values: ({ usage }) => {
      const value = wholeSeconds(usage.cpuTimeNs)
      return value === undefined ? [] : [{ value, labels: ["total"] }]
    }
  },
  cpu.counter(
    "container_cpu_cfs_periods_total",
    "Periods of the CPU quota that have passed.",
    ({ details }) => details.cpu?.periods
  ),
  cpu.counter(
    "container_cpu_cfs_throttled_periods_total",
    "Periods of the CPU quota in which the container was held back.",
    ({ details }) => details.cpu?.throttledPeriods
  ),
  cpu.counter(
    "container_cpu_cfs_throttled_seconds_total",
    "Time for which the container was held back by its CPU quota, in seconds.",
    ({ details }) => wholeSeconds(details.cpu?.throttledNs)
  )
]

const memory = makeFamilies<ContainerFacts>("memory")
const memoryFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  memory.gauge("container_memory_cache", "Page cache, in bytes.", ({ details }) => details.memory?.cacheBytes),
  memory.gauge("container_memory_rss", "Anonymous memory, in bytes.", ({ usage }) => usage.memory?.rssBytes),
  memory.gauge(
    "container_memory_kernel_usage",
    "Memory of the kernel on behalf of the container, in bytes.",
    ({ details }) => details.memory?.kernelBytes
  ),
  memory.gauge(
    "container_memory_mapped_file",
    "Mapped files, in bytes.",
    ({ details }) => details.memory?.mappedFileBytes
  ),
  memory.gauge("container_memory_swap", "Swap in use, in bytes.", ({ usage }) =>
    // A kernel that does not account for swap has none to tell of.
    usage.memory === undefined ? undefined : (usage.swap?.usageBytes ?? 0n)
  ),
  memory.counter(
    "container_memory_failcnt",
    "How often the usage of memory ran into its limit.",
    ({ details }) => details.memory?.limitHits
  ),
  memory.gauge(
    "container_memory_usage_bytes",
    "Memory in use, page cache included, in bytes.",
    ({ usage }) => usage.memory?.usageBytes
  ),
  memory.gauge(
    "container_memory_max_usage_bytes",
    "Most memory that was in use so far, in bytes.",
    ({ details }) => details.memory?.maxUsageBytes
  ),
  memory.gauge(
    "container_memory_working_set_bytes",
    "Memory in use without page cache that could be dropped, in bytes.",
    ({ usage }) => usage.memory?.workingSetBytes
  ),
  {
    ...memory.counter("container_memory_failures_total", "Page faults.", () => undefined),
    labels: ["failure_type", "scope"],
    values: ({ usage, details }) =>
      usage.memory === undefined || details.memory === undefined
        ? []
        : [
            { value: details.memory.ownPageFaults, labels: ["pgfault", "container"] },
            { value: usage.memory.pageFaults, labels: ["pgfault", "hierarchy"] },
            { value: details.memory.ownMajorPageFaults, labels: ["pgmajfault", "container"] },
            { value: usage.memory.majorPageFaults, labels: ["pgmajfault", "hierarchy"] }
          ]
  }
]

const oomFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  makeFamilies<ContainerFacts>("oom").counter(
    "container_oom_events_total",
    "Processes that were killed for lack of memory.",
    ({ details }) => details.oomKills
  )
]

const hugepageFamily = (name: string, help: string, read: (use: HugepageUse) => bigint): Family<ContainerFacts> => ({
  name,
  help,
  group: "hugetlb",
  type: "gauge",
  labels: ["pagesize"],
  values: ({ details }) => details.hugepages.map((use) => ({ value: read(use), labels: [use.pageSize] }))
})

const hugepageFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  hugepageFamily("container_hugetlb_usage_bytes", "Huge pages in use, in bytes.", ({ usageBytes }) => usageBytes),
  // Where the kernel keeps no maximum, what is in use is the best that is known of it.
  hugepageFamily(
    "container_hugetlb_max_usage_bytes",
    "Most huge pages that were in use so far, in bytes.",
    ({ maxUsageBytes, usageBytes }) => maxUsageBytes ?? usageBytes
  )
]

const deviceOf = ({ major, minor }: DeviceIo): string => `${major}:${minor}`

const ioFamily = (
  name: string,
  help: string,
  operation: "read" | "write",
  read: (io: DeviceIo) => bigint
): Family<ContainerFacts> => ({
  name,
  help,
  group: "diskIO",
  type: "counter",
  labels: ["device"],
  values: ({ details }) =>
    details.io.filter((io) => io.operation === operation).map((io) => ({ value: read(io), labels: [deviceOf(io)] }))
})

const ioFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  ioFamily("container_fs_reads_bytes_total", "Bytes read from devices.", "read", ({ bytes }) => bytes),
  ioFamily("container_fs_reads_total", "Reads from devices.", "read", ({ count }) => count),
  ioFamily("container_fs_writes_bytes_total", "Bytes written to devices.", "write", ({ bytes }) => bytes),
  ioFamily("container_fs_writes_total", "Writes to devices.", "write", ({ count }) => count),
  {
    name: "container_blkio_device_usage_total",
    help: "Bytes that went to or came from devices, by operation.",
    group: "diskIO",
    type: "counter",
    labels: ["device", "major", "minor", "operation"],
    values: ({ details }) =>
      details.io.map((io) => ({
        value: io.bytes,
        labels: [deviceOf(io), String(io.major), String(io.minor), io.operation]
      }))
  }
]

const pressure = makeFamilies<ContainerFacts>("pressure")
const pressureOf = (
  resource: "cpu" | "memory" | "io",
  word: string,
  line: keyof Pressure,
  meaning: string
): Family<ContainerFacts> =>
  pressure.counter(
    `container_pressure_${resource}_${line === "full" ? "stalled" : "waiting"}_seconds_total`,
    `Time for which ${meaning} for ${word}, in seconds.`,
    ({ usage }) => wholeSeconds(usage.pressure[resource]?.[line].totalNs)
  )

const resources = [
  ["cpu", "CPU time"],
  ["memory", "memory"],
  ["io", "I/O"]
] as const

const pressureFamilies: ReadonlyArray<Family<ContainerFacts>> = resources.flatMap(([resource, word]) => [
  pressureOf(resource, word, "full", "all tasks of the container waited"),
  pressureOf(resource, word, "some", "some task of the container waited")
])

export const cgroupFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  ...cpuFamilies,
  ...ioFamilies,
  ...hugepageFamilies,
  ...memoryFamilies,
  ...oomFamilies,
  ...pressureFamilies
]
