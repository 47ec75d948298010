/** What went through the interfaces of a network namespace (/proc/net/dev, proc_pid_net(5)). */
import { readFileSync } from "node:fs"
import type { InterfaceCounters } from "../Namespaces.ts"
import { inNetworkNamespace } from "./inNamespace.ts"

// Columns after the name: eight of what was received, eight of what was sent.
const received = 0
const transmitted = 8

/** A line is "  eth0: 1 2 …"; the two of the heading have no such numbers. */
export const parseNetworkDevices = (text: string): ReadonlyArray<InterfaceCounters> =>
  text.split("\n").flatMap((line) => {
    const [, name, rest] = /^\s*([^:]+):\s*(\d[\d\s]*)$/.exec(line) ?? []
    if (name === undefined || rest === undefined) return []
    const values = rest.trim().split(/\s+/)
    const direction = (from: number) => {
      const [bytes, packets, errors, dropped] = values.slice(from, from + 4).map(BigInt)
      return { bytes: bytes ?? 0n, packets: packets ?? 0n, errors: errors ?? 0n, dropped: dropped ?? 0n }
    }
    return [{ name, received: direction(received), transmitted: direction(transmitted) }]
  })

export const networkCounters = (path: string): ReadonlyArray<InterfaceCounters> =>
  parseNetworkDevices(inNetworkNamespace(path, () => readFileSync("/proc/thread-self/net/dev", "utf8")))
