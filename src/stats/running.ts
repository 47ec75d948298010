/** Which pods there are statistics of in lists, and where the kernel counts what pods and containers use. */
import type { ContainerRecord } from "../pod/ContainerRecord.ts"
import type { PodRecord } from "../pod/PodRecord.ts"
import type { Resource } from "../pod/Resource.ts"

export const isReady = ({ state }: PodRecord): boolean => state._tag === "Ready"

const found = <A>(rows: ReadonlyArray<Resource>, pick: (row: Resource) => A | undefined): A | undefined => {
  for (const row of rows) {
    const value = pick(row)
    if (value !== undefined) return value
  }
  return undefined
}

/** Undefined when the runtime's container has been given back. */
export const cgroupOf = ({ resources }: ContainerRecord | PodRecord): string | undefined =>
  found(resources, (row) => (row._tag === "Runtime" && row.cgroup !== "" ? row.cgroup : undefined))

/** The pin of the pod's own network namespace; undefined on the host's network, or when it has been given back. */
export const networkNamespaceOf = ({ resources }: PodRecord): string | undefined =>
  found(resources, (row) => (row._tag === "Network" ? row.attachment.netnsPath : undefined))
