/** What a cgroup uses, in the words of neither version. Whatever the kernel does not tell is undefined. */

export interface MemoryUse {
  /** Bytes charged to the cgroup, page cache included. */
  readonly usageBytes: bigint
  /** Usage without the page cache that the kernel would drop first; what kubelet evicts by. */
  readonly workingSetBytes: bigint
  /** Undefined: no limit. */
  readonly limitBytes: bigint | undefined
  /** Anonymous memory. */
  readonly rssBytes: bigint
  readonly pageFaults: bigint
  readonly majorPageFaults: bigint
}

export interface SwapUse {
  readonly usageBytes: bigint
  /** Undefined: no limit. */
  readonly limitBytes: bigint | undefined
}

export interface PressureLine {
  /** Nanoseconds in which tasks stood still. */
  readonly totalNs: bigint
  /** Per cent of the last 10, 60 and 300 seconds. */
  readonly avg10: number
  readonly avg60: number
  readonly avg300: number
}

export interface Pressure {
  /** At least one task waited. */
  readonly some: PressureLine
  /** All of them did. */
  readonly full: PressureLine
}

/** Of the cgroup and all below it. */
export interface Usage {
  /** CPU time that its processes have used, those that ended included. */
  readonly cpuTimeNs: bigint | undefined
  readonly memory: MemoryUse | undefined
  /** Undefined where the kernel does not account for swap. */
  readonly swap: SwapUse | undefined
  /** Undefined on v1, and where the kernel has it switched off. */
  readonly pressure: {
    readonly cpu: Pressure | undefined
    readonly memory: Pressure | undefined
    readonly io: Pressure | undefined
  }
  /** Every thread counts. */
  readonly tasks: bigint | undefined
}

export interface CpuDetails {
  readonly userNs: bigint
  readonly systemNs: bigint
  /** Enforcement periods of a CPU quota: those that passed, and those in which tasks were held back. */
  readonly periods: bigint
  readonly throttledPeriods: bigint
  readonly throttledNs: bigint
}

export interface MemoryDetails {
  readonly cacheBytes: bigint
  readonly kernelBytes: bigint | undefined
  readonly mappedFileBytes: bigint
  /** The highest usage so far; v2 tells since Linux 5.19. */
  readonly maxUsageBytes: bigint | undefined
  /** How often usage ran into the limit. */
  readonly limitHits: bigint
  /** Faults of the cgroup without those below it; v2 has only both together. */
  readonly ownPageFaults: bigint
  readonly ownMajorPageFaults: bigint
}

export interface HugepageUse {
  /** As the kernel writes it: "2MB". */
  readonly pageSize: string
  readonly usageBytes: bigint
  /** The highest usage so far; v2 keeps none. */
  readonly maxUsageBytes: bigint | undefined
}

export interface DeviceIo {
  readonly major: number
  readonly minor: number
  /** "read", "write", "discard"; on v1 also "sync", "async" and "total". */
  readonly operation: string
  readonly bytes: bigint
  readonly count: bigint
}

/** What only metrics ask for. */
export interface Details {
  /** How many tasks there may be; undefined: no limit. */
  readonly tasksLimit: bigint | undefined
  readonly cpu: CpuDetails | undefined
  readonly memory: MemoryDetails | undefined
  readonly hugepages: ReadonlyArray<HugepageUse>
  readonly io: ReadonlyArray<DeviceIo>
  /** How many of its processes the kernel has killed for lack of memory. */
  readonly oomKills: bigint | undefined
}
