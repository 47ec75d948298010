/** Metrics of a container out of its record, its processes and its writable layer. */
import type { ContainerRecord } from "../../pod/ContainerRecord.ts"
import type { ContainerFacts } from "./ContainerFacts.ts"
import { type Family, makeFamilies } from "./Family.ts"

const second = 1_000_000_000n

const always = makeFamilies<ContainerFacts>(undefined)

const disk = makeFamilies<ContainerFacts>("disk")
const diskFamilies = [
  disk.gauge("container_fs_inodes_free", "Inodes that are free on the file system.", ({ disk }) => disk?.freeInodes),
  disk.gauge("container_fs_inodes_total", "Inodes of the file system.", ({ disk }) => disk?.totalInodes),
  disk.gauge("container_fs_limit_bytes", "Size of the file system, in bytes.", ({ disk }) => disk?.totalBytes),
  disk.gauge("container_fs_usage_bytes", "What the container has written, in bytes.", ({ disk }) => disk?.usedBytes)
]

const process = makeFamilies<ContainerFacts>("process")
const processFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  process.gauge(
    "container_file_descriptors",
    "Open file descriptors of the container's processes.",
    ({ processes }) => processes?.descriptors
  ),
  process.gauge("container_processes", "Processes in the container.", ({ processes }) => processes?.count),
  process.gauge(
    "container_sockets",
    "Open sockets of the container's processes.",
    ({ processes }) => processes?.sockets
  ),
  process.gauge("container_threads", "Threads in the container.", ({ usage }) => usage.tasks),
  process.gauge("container_threads_max", "Threads that the container may have; 0 is no limit.", ({ usage, details }) =>
    usage.tasks === undefined ? undefined : (details.tasksLimit ?? 0n)
  ),
  {
    ...process.gauge("container_ulimits_soft", "Soft limits of the container's first process.", () => undefined),
    labels: ["ulimit"],
    values: ({ processes }) => (processes?.softLimits ?? []).map(({ name, value }) => ({ value, labels: [name] }))
  }
]

type Limits = NonNullable<ContainerRecord["limits"]>

/** No limit at all is 0, as for cAdvisor. */
const limitOf = (bytes: bigint | undefined): bigint =>
  bytes === undefined || bytes < 0n || bytes > 1n << 62n ? 0n : bytes

/** A request without resources asks for none. */
const limit =
  (read: (limits: Limits) => bigint) =>
  ({ container: { limits } }: ContainerFacts): bigint =>
    limits === null ? 0n : limitOf(read(limits))

const reservation = (limits: Limits): bigint => {
  const minimum = limits.unified["memory.min"] ?? "0"
  return /^\d{1,19}$/.test(minimum) ? BigInt(minimum) : 0n
}

const startedNs = ({ state, createdAtNs }: ContainerRecord): bigint =>
  "startedAtNs" in state && state.startedAtNs > 0n ? state.startedAtNs : createdAtNs

const spec = makeFamilies<ContainerFacts>("spec")
const specFamilies = [
  spec.gauge(
    "container_spec_cpu_period",
    "Period of the CPU quota, in microseconds.",
    limit(({ cpuPeriod }) => cpuPeriod)
  ),
  spec.gauge(
    "container_spec_cpu_shares",
    "CPU shares.",
    limit(({ cpuShares }) => cpuShares)
  ),
  // Without a quota there is no value: 0 would be one.
  spec.gauge("container_spec_cpu_quota", "CPU quota, in microseconds per period.", ({ container: { limits } }) =>
    limits === null || limits.cpuQuota <= 0n ? undefined : limits.cpuQuota
  ),
  spec.gauge(
    "container_spec_memory_limit_bytes",
    "Limit of memory, in bytes; 0 is no limit.",
    limit(({ memoryLimitInBytes }) => memoryLimitInBytes)
  ),
  spec.gauge("container_spec_memory_reservation_limit_bytes", "Memory that is reserved, in bytes.", limit(reservation)),
  spec.gauge(
    "container_spec_memory_swap_limit_bytes",
    "Limit of memory and swap together, in bytes; 0 is no limit.",
    limit(({ memorySwapLimitInBytes }) => memorySwapLimitInBytes)
  ),
  spec.gauge(
    "container_start_time_seconds",
    "Start of the container, in seconds since the epoch.",
    ({ container }) => startedNs(container) / second
  )
]

export const containerFamilies: ReadonlyArray<Family<ContainerFacts>> = [
  always.gauge(
    "container_last_seen",
    "When the container was last seen, in seconds since the epoch.",
    ({ atNs }) => atNs / second
  ),
  ...diskFamilies,
  ...processFamilies,
  ...specFamilies
]
