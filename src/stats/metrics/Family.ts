/** A metric by its name: what it means, how it is labelled, and how its values come out of what was read. */

/** Groups of `included_pod_metrics` (crio.conf(5)). */
export const metricGroups = [
  "cpu",
  "disk",
  "diskIO",
  "hugetlb",
  "memory",
  "network",
  "oom",
  "process",
  "spec",
  "pressure"
] as const
export type MetricGroup = (typeof metricGroups)[number]

export interface MetricValue {
  readonly value: bigint
  /** Of the family's own labels, in their order. */
  readonly labels?: ReadonlyArray<string>
}

export interface Family<Facts> {
  readonly name: string
  readonly help: string
  /** Undefined: always there. */
  readonly group: MetricGroup | undefined
  readonly type: "counter" | "gauge"
  /** Besides those that every family has. */
  readonly labels: ReadonlyArray<string>
  /** None where the kernel does not tell. */
  readonly values: (facts: Facts) => ReadonlyArray<MetricValue>
}

type One<Facts> = (facts: Facts) => bigint | undefined

const oneValue =
  <Facts>(read: One<Facts>): Family<Facts>["values"] =>
  (facts) => {
    const value = read(facts)
    return value === undefined ? [] : [{ value }]
  }

/** Families of one group that have one value and no labels of their own. */
export const makeFamilies = <Facts>(group: MetricGroup | undefined) => ({
  counter: (name: string, help: string, read: One<Facts>): Family<Facts> => ({
    name,
    help,
    group,
    type: "counter",
    labels: [],
    values: oneValue(read)
  }),
  gauge: (name: string, help: string, read: One<Facts>): Family<Facts> => ({
    name,
    help,
    group,
    type: "gauge",
    labels: [],
    values: oneValue(read)
  })
})
