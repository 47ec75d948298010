/** What pods and containers used at a moment. Whatever could not be read is undefined: a cgroup goes at any moment. */
import type { Usage } from "../cgroup/Usage.ts"
import type { InterfaceCounters } from "../linux/Namespaces.ts"
import type { ContainerRecord } from "../pod/ContainerRecord.ts"
import type { PodRecord } from "../pod/PodRecord.ts"
import type { Measured } from "./LayerUsage.ts"

export interface CgroupSample {
  /** Nanoseconds since the epoch. */
  readonly atNs: bigint
  readonly usage: Usage | undefined
  /** CPU time per second since the sample before, in nanoseconds; undefined without a recent one. */
  readonly nanoCores: bigint | undefined
}

export interface ContainerSample extends CgroupSample {
  readonly container: ContainerRecord
  /** Measured by itself, at a time of its own. */
  readonly layer: (Measured & { readonly mountpoint: string }) | undefined
}

export interface PodSample extends CgroupSample {
  readonly pod: PodRecord
  /** Of the pod's own network namespace, without loopback; undefined for a pod on the host's network. */
  readonly network: ReadonlyArray<InterfaceCounters> | undefined
  /** Those that run. */
  readonly containers: ReadonlyArray<ContainerSample>
}

/** A longer window says nothing about now. */
const longestWindowNs = 60_000_000_000n

const second = 1_000_000_000n

/** The rate since the sample before; clocks that went back and counters that began anew give none. */
export const nanoCoresSince = (
  before: CgroupSample | undefined,
  now: Pick<CgroupSample, "atNs" | "usage">
): bigint | undefined => {
  const [earlier, later] = [before?.usage?.cpuTimeNs, now.usage?.cpuTimeNs]
  if (before === undefined || earlier === undefined || later === undefined || later < earlier) return undefined
  const window = now.atNs - before.atNs
  return window <= 0n || window > longestWindowNs ? undefined : ((later - earlier) * second) / window
}

const add = <A>(left: A | undefined, right: A | undefined, sum: (left: A, right: A) => A): A | undefined =>
  left === undefined || right === undefined ? (left ?? right) : sum(left, right)

const none: Usage = {
  cpuTimeNs: undefined,
  memory: undefined,
  swap: undefined,
  pressure: { cpu: undefined, memory: undefined, io: undefined },
  tasks: undefined
}

/** What several cgroups use together. Limits, swap and pressures of the whole are unknown: they do not add up. */
export const sumOf = (usages: ReadonlyArray<Usage>): Usage =>
  usages.reduce(
    (sum, { cpuTimeNs, memory, tasks }) => ({
      ...none,
      cpuTimeNs: add(sum.cpuTimeNs, cpuTimeNs, (left, right) => left + right),
      memory: add(sum.memory, memory && { ...memory, limitBytes: undefined }, (left, right) => ({
        usageBytes: left.usageBytes + right.usageBytes,
        workingSetBytes: left.workingSetBytes + right.workingSetBytes,
        limitBytes: undefined,
        rssBytes: left.rssBytes + right.rssBytes,
        pageFaults: left.pageFaults + right.pageFaults,
        majorPageFaults: left.majorPageFaults + right.majorPageFaults
      })),
      tasks: add(sum.tasks, tasks, (left, right) => left + right)
    }),
    none
  )
