/**
 * What work has left behind goes back to the kernel. V8 cleans up only while there is work, the C library keeps what is
 * not at the end of its heap (the memory of a compilation, say), and of the program's own pages the start has touched
 * twice as many as anything later needs.
 */
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { attemptSync } from "./internal/attempt.ts"
import { checked } from "./internal/native.ts"

const mallocTrim = checked("malloc_trim", "int malloc_trim(size_t pad)") as (pad: number) => number
const madvise = checked("madvise", "int madvise(uintptr_t address, size_t length, int advice)") as (
  address: number,
  length: number,
  advice: number
) => number
const MADV_DONTNEED = 4

interface Mapping {
  readonly address: number
  /** Bytes. */
  readonly length: number
}

const heading = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)$/

/**
 * Mappings of a file that hold nothing but that file's own pages (proc_pid_smaps(5)): never written to, so no page of
 * them exists in memory or in swap only.
 */
export const cleanMappings = (smaps: string, path: string): ReadonlyArray<Mapping> => {
  const found: Array<Mapping> = []
  for (const part of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const end = part.indexOf("\n")
    const [, from = "", to = "", permissions = "", name] = heading.exec(end === -1 ? part : part.slice(0, end)) ?? []
    if (name !== path || !/^r-[x-]p$/.test(permissions)) continue
    if (!/^Anonymous: +0 kB$/m.test(part) || !/^Swap: +0 kB$/m.test(part)) continue
    const address = Number.parseInt(from, 16)
    found.push({ address, length: Number.parseInt(to, 16) - address })
  }
  return found
}

/** Less than a millisecond. */
const trim = (): void => {
  mallocTrim(0)
}

const findCollector = (): NodeJS.GCFunction => {
  setFlagsFromString("--expose-gc")
  return runInNewContext("gc") as NodeJS.GCFunction
}

/** What it makes blocks for some 50 ms. */
export const makeGiveBack = (): (() => void) => {
  let collect: NodeJS.GCFunction | undefined
  return () => {
    // "last-resort" also frees the pages that are empty then.
    void (collect ??= findCollector())({ type: "major", flavor: "last-resort", execution: "sync" })
    trim()
    // They stay in the page cache, so what is still needed of them comes back without a disk.
    for (const { address, length } of cleanMappings(readFileSync("/proc/self/smaps", "utf8"), process.execPath)) {
      madvise(address, length, MADV_DONTNEED)
    }
  }
}

/** Shares of a processor: more is work, and less is rest, in which somebody asks for lists now and then. */
const work = 0.1
const rest = 0.03

const interval = "5 seconds"
/** At least so many from one rest to the next. */
const looksBetween = 12

export interface Acts {
  /** Every five seconds as long as something was done since the last rest. */
  readonly duringWork: () => void
  /** Once at rest, not more than once a minute. */
  readonly atRest: () => void
}

/** `share`: of one processor, since it was asked before. */
export const watchWork = (share: () => number, { duringWork, atRest }: Acts): Effect.Effect<never> =>
  Effect.suspend(() => {
    // The start was work.
    let worked = true
    let looks = looksBetween
    const look = () => {
      const now = share()
      looks += 1
      worked ||= now > work
      if (!worked) return
      if (now > rest || looks < looksBetween) {
        duringWork()
        return
      }
      worked = false
      looks = 0
      atRest()
    }
    // Memory that stays is no reason to stop.
    const looking = Effect.catch(attemptSync("give back", "memory", look), (error) => Effect.logDebug(error.message))
    return Effect.forever(Effect.andThen(Effect.sleep(interval), looking))
  })

const makeMeter = () => {
  let last = process.cpuUsage()
  let lastAt = performance.now()
  return (): number => {
    const used = process.cpuUsage(last)
    const now = performance.now()
    const share = (used.user + used.system) / 1000 / (now - lastAt)
    last = process.cpuUsage()
    lastAt = now
    return share
  }
}

/**
 * For ever. The flag is not on the command line because there V8 would not take the code that Node has compiled in: a
 * quarter more processor time for every start.
 */
export const returnMemory: Effect.Effect<never> = Effect.suspend(() => {
  // The old generation is cleaned whenever it has grown by a third (by 8 MiB at least) instead of fourfold.
  setFlagsFromString("--heap-growing-percent=30")
  return watchWork(makeMeter(), { duringWork: trim, atRest: makeGiveBack() })
})
