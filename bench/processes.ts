/** Memory and command lines of processes, from /proc. */
import { readdirSync, readFileSync } from "node:fs"

/** MiB, all NaN when the process is gone. */
export interface Memory {
  /** Proportional set size: what others map too is shared with them. */
  readonly pss: number
  /** Resident set size: counts that in full. */
  readonly rss: number
  /** What is in no file: the process's alone, whatever others do. */
  readonly anonymous: number
}

export const memoryOf = (pid: number): Memory => {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
    const mib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) / 1024
    return { pss: mib("Pss"), rss: mib("Rss"), anonymous: mib("Anonymous") }
  } catch {
    return { pss: Number.NaN, rss: Number.NaN, anonymous: Number.NaN }
  }
}

// USER_HZ of every architecture that Linux runs Node on.
const ticksPerSecond = 100

/** Milliseconds of processor time that the process itself has used, without its children. */
export const processorTime = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond
}

/** Processes of which the predicate likes the arguments. */
export const processesWith = (predicate: (argv: ReadonlyArray<string>) => boolean): ReadonlyArray<number> =>
  readdirSync("/proc").flatMap((name) => {
    try {
      const argv = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0")
      return /^\d+$/.test(name) && predicate(argv) ? [Number(name)] : []
    } catch {
      return []
    }
  })
