/** All that metrics of a container are made of. */
import type { Details, Usage } from "../../cgroup/Usage.ts"
import type { ContainerRecord } from "../../pod/ContainerRecord.ts"

export interface ProcessFacts {
  readonly count: bigint
  readonly descriptors: bigint
  readonly sockets: bigint
  /** Soft limits of the container's first process by name; undefined when it has ended. */
  readonly softLimits: ReadonlyArray<{ readonly name: string; readonly value: bigint }>
}

export interface DiskFacts {
  /** Bytes of the writable layer; undefined until it has been measured. */
  readonly usedBytes: bigint | undefined
  /** Of the file system that it lies on. */
  readonly totalBytes: bigint
  readonly totalInodes: bigint
  readonly freeInodes: bigint
}

export interface ContainerFacts {
  readonly container: ContainerRecord
  /** Nanoseconds since the epoch. */
  readonly atNs: bigint
  readonly usage: Usage
  readonly details: Details
  /** Undefined unless their metrics are asked for. */
  readonly processes: ProcessFacts | undefined
  readonly disk: DiskFacts | undefined
}
