/** Metrics of a pod's network interfaces. */
import type { InterfaceCounters, TrafficCounters } from "../../linux/Namespaces.ts"
import type { Family } from "./Family.ts"

export type NetworkFacts = ReadonlyArray<InterfaceCounters>

const directions = [
  ["receive", "received"],
  ["transmit", "transmitted"]
] as const

const counters: ReadonlyArray<readonly [name: string, counted: string, counter: keyof TrafficCounters]> = [
  ["bytes", "Bytes", "bytes"],
  ["packets", "Packets", "packets"],
  ["packets_dropped", "Packets that were dropped instead of being", "dropped"],
  ["errors", "Errors with packets that were being", "errors"]
]

export const networkFamilies: ReadonlyArray<Family<NetworkFacts>> = directions.flatMap(([verb, direction]) =>
  counters.map(([name, counted, counter]) => ({
    name: `container_network_${verb}_${name}_total`,
    help: `${counted} ${direction}.`,
    group: "network",
    type: "counter",
    labels: ["interface"],
    values: (interfaces) => interfaces.map((one) => ({ value: one[direction][counter], labels: [one.name] }))
  }))
)
