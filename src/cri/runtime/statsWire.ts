/** Samples of containers and pods in the CRI's words. */
import type { Pressure, PressureLine } from "../../cgroup/Usage.ts"
import type {
  ContainerStats,
  CpuUsage,
  FilesystemUsage,
  IoUsage,
  MemoryUsage,
  NetworkInterfaceUsage,
  NetworkUsage,
  PodSandboxStats,
  ProcessUsage,
  PsiData,
  PsiStats,
  SwapUsage,
  UInt64Value
} from "../../gen/runtime/v1/api.ts"
import type { InterfaceCounters } from "../../linux/Namespaces.ts"
import type { ContainerRecord } from "../../pod/ContainerRecord.ts"
import type { CgroupSample, ContainerSample, PodSample } from "../../stats/Sample.ts"

const uint64 = (value: bigint): UInt64Value => ({ value })

const toPsiData = ({ totalNs, avg10, avg60, avg300 }: PressureLine): PsiData => ({
  Total: totalNs,
  Avg10: avg10,
  Avg60: avg60,
  Avg300: avg300
})

const toPsi = (pressure: Pressure | undefined): PsiStats | undefined =>
  pressure === undefined ? undefined : { Full: toPsiData(pressure.full), Some: toPsiData(pressure.some) }

/** What is left below a limit; without a limit the field stays empty. */
const available = (limit: bigint | undefined, used: bigint): UInt64Value | undefined =>
  limit === undefined ? undefined : uint64(limit > used ? limit - used : 0n)

const toCpu = ({ atNs, usage, nanoCores }: CgroupSample): CpuUsage | undefined =>
  usage?.cpuTimeNs === undefined
    ? undefined
    : {
        timestamp: atNs,
        usageCoreNanoSeconds: uint64(usage.cpuTimeNs),
        usageNanoCores: nanoCores === undefined ? undefined : uint64(nanoCores),
        psi: toPsi(usage.pressure.cpu)
      }

const toMemory = ({ atNs, usage }: CgroupSample): MemoryUsage | undefined =>
  usage?.memory === undefined
    ? undefined
    : {
        timestamp: atNs,
        workingSetBytes: uint64(usage.memory.workingSetBytes),
        availableBytes: available(usage.memory.limitBytes, usage.memory.workingSetBytes),
        usageBytes: uint64(usage.memory.usageBytes),
        rssBytes: uint64(usage.memory.rssBytes),
        pageFaults: uint64(usage.memory.pageFaults),
        majorPageFaults: uint64(usage.memory.majorPageFaults),
        psi: toPsi(usage.pressure.memory)
      }

const toSwap = ({ atNs, usage }: CgroupSample): SwapUsage | undefined =>
  usage?.swap === undefined
    ? undefined
    : {
        timestamp: atNs,
        swapAvailableBytes: available(usage.swap.limitBytes, usage.swap.usageBytes),
        swapUsageBytes: uint64(usage.swap.usageBytes)
      }

const toIo = ({ atNs, usage }: CgroupSample): IoUsage | undefined =>
  usage?.pressure.io === undefined ? undefined : { timestamp: atNs, psi: toPsi(usage.pressure.io) }

const toLayer = ({ layer }: ContainerSample): FilesystemUsage | undefined =>
  layer === undefined
    ? undefined
    : {
        timestamp: layer.atNs,
        fsId: { mountpoint: layer.mountpoint },
        usedBytes: uint64(layer.bytes),
        inodesUsed: uint64(layer.inodes)
      }

/** All but the attributes, which the samples of a container share. */
export const toContainerUsage = (sample: ContainerSample): ContainerStats => ({
  attributes: undefined,
  cpu: toCpu(sample),
  memory: toMemory(sample),
  writableLayer: toLayer(sample),
  swap: toSwap(sample),
  io: toIo(sample)
})

/** The attributes alone. */
export const toContainerIdentity = ({ id, metadata, labels, annotations }: ContainerRecord): ContainerStats => ({
  attributes: { id, metadata, labels, annotations },
  cpu: undefined,
  memory: undefined,
  writableLayer: undefined,
  swap: undefined,
  io: undefined
})

export const toContainerStats = (sample: ContainerSample): ContainerStats => ({
  ...toContainerUsage(sample),
  attributes: toContainerIdentity(sample.container).attributes
})

/** The name that CNI plugins are asked to give (k8s.io/cri-api, NetworkUsage.default_interface). */
const defaultInterface = "eth0"

const toInterface = ({ name, received, transmitted }: InterfaceCounters): NetworkInterfaceUsage => ({
  name,
  rxBytes: uint64(received.bytes),
  rxErrors: uint64(received.errors),
  txBytes: uint64(transmitted.bytes),
  txErrors: uint64(transmitted.errors)
})

const toNetwork = ({ atNs, network }: PodSample): NetworkUsage | undefined => {
  if (network === undefined) return undefined
  const found = network.find(({ name }) => name === defaultInterface)
  return {
    timestamp: atNs,
    defaultInterface: found === undefined ? undefined : toInterface(found),
    interfaces: network.filter((one) => one !== found).map(toInterface)
  }
}

const toProcesses = ({ atNs, usage }: CgroupSample): ProcessUsage | undefined =>
  usage?.tasks === undefined ? undefined : { timestamp: atNs, processCount: uint64(usage.tasks) }

export const toPodSandboxStats = (sample: PodSample): PodSandboxStats => ({
  attributes: {
    id: sample.pod.id,
    metadata: sample.pod.metadata,
    labels: sample.pod.labels,
    annotations: sample.pod.annotations
  },
  linux: {
    cpu: toCpu(sample),
    memory: toMemory(sample),
    network: toNetwork(sample),
    process: toProcesses(sample),
    containers: sample.containers.filter(({ usage }) => usage !== undefined).map(toContainerStats),
    io: toIo(sample)
  },
  windows: undefined
})
