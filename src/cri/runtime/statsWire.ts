/** Samples of containers in the CRI's words. */
import type { Pressure, PressureLine } from "../../cgroup/Cgroups.ts"
import type { ContainerStats, FilesystemUsage, PsiData, PsiStats, UInt64Value } from "../../gen/runtime/v1/api.ts"
import type { ContainerRecord } from "../../pod/ContainerRecord.ts"
import type { ContainerSample } from "../../stats/ContainerStats.ts"

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

/** usage_nano_cores is a rate: clients that want one have two samples, and the seconds between them. */
const toCpu = ({ atNs, cpuTimeNs, pressure }: ContainerSample): ContainerStats["cpu"] =>
  cpuTimeNs === undefined
    ? undefined
    : {
        timestamp: atNs,
        usageCoreNanoSeconds: uint64(cpuTimeNs),
        usageNanoCores: undefined,
        psi: toPsi(pressure.cpu)
      }

const toMemory = ({ atNs, memory, pressure }: ContainerSample): ContainerStats["memory"] =>
  memory === undefined
    ? undefined
    : {
        timestamp: atNs,
        workingSetBytes: uint64(memory.workingSetBytes),
        availableBytes: available(memory.limitBytes, memory.workingSetBytes),
        usageBytes: uint64(memory.usageBytes),
        rssBytes: uint64(memory.rssBytes),
        pageFaults: uint64(memory.pageFaults),
        majorPageFaults: uint64(memory.majorPageFaults),
        psi: toPsi(pressure.memory)
      }

const toSwap = ({ atNs, swap }: ContainerSample): ContainerStats["swap"] =>
  swap === undefined
    ? undefined
    : {
        timestamp: atNs,
        swapAvailableBytes: available(swap.limitBytes, swap.usageBytes),
        swapUsageBytes: uint64(swap.usageBytes)
      }

const toIo = ({ atNs, pressure }: ContainerSample): ContainerStats["io"] =>
  pressure.io === undefined ? undefined : { timestamp: atNs, psi: toPsi(pressure.io) }

const toLayer = ({ layer }: ContainerSample): FilesystemUsage | undefined =>
  layer === undefined
    ? undefined
    : {
        timestamp: layer.atNs,
        fsId: { mountpoint: layer.mountpoint },
        usedBytes: uint64(layer.bytes),
        inodesUsed: uint64(layer.inodes)
      }

export const toContainerStats = (container: ContainerRecord, sample: ContainerSample): ContainerStats => ({
  attributes: {
    id: container.id,
    metadata: container.metadata,
    labels: container.labels,
    annotations: container.annotations
  },
  cpu: toCpu(sample),
  memory: toMemory(sample),
  writableLayer: toLayer(sample),
  swap: toSwap(sample),
  io: toIo(sample)
})
