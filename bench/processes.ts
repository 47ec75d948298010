/** Memory and command lines of processes, from /proc. */
import { readdirSync, readFileSync } from "node:fs"

/** MiB; proportional set size shares what others map too, resident set size counts it in full. NaN when it is gone. */
export const memoryOf = (pid: number): { readonly pss: number; readonly rss: number } => {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
    const mib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) / 1024
    return { pss: mib("Pss"), rss: mib("Rss") }
  } catch {
    return { pss: Number.NaN, rss: Number.NaN }
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
