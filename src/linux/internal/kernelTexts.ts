/** Files of cgroups and of /proc, read on the spot: nothing in them waits for a disk. */
import { Effect, type Scope } from "effect"
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs"
import { opendir } from "node:fs/promises"
import type { LinuxError } from "../LinuxError.ts"
import { codeOf, linuxError } from "./attempt.ts"

const absent: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ENODEV", "ESRCH", "EOPNOTSUPP"])

const isAbsent = (error: unknown): boolean => absent.has(codeOf(error) ?? "")

/** The kernel gives whole lines out of a page at least: what is shorter than this was not cut off. */
const surelyWhole = 1024

/** Descriptors are scarce where the limit of the service is low; what is not kept is only read more slowly. */
const mostKept = 2048

/** Between two looks for those that nobody reads any more. */
const rest = "30 seconds"

interface Kept {
  readonly fd: number
  /** Since the last look. */
  read: boolean
}

export interface KernelTexts {
  /** Undefined for what is not there. `keepOpen`: until nobody has read it for half a minute to a minute. */
  readonly read: (
    paths: ReadonlyArray<string>,
    keepOpen: boolean
  ) => Effect.Effect<ReadonlyArray<string | undefined>, LinuxError>
  /** Closes those below a directory that is on its way out. */
  readonly close: (directory: string) => Effect.Effect<void>
}

/** What is kept open is closed with the scope. */
export const makeKernelTexts: Effect.Effect<KernelTexts, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  /** By path. Reading an open file takes a third of the time of opening, reading and closing it. */
  const kept = new Map<string, Kept>()
  let scratch = Buffer.allocUnsafe(16 * 1024)
  let ended = false
  let looking = false

  const readFrom = (fd: number): string => {
    let size = readSync(fd, scratch, 0, scratch.length, 0)
    let last = size
    while (size >= surelyWhole && last > 0) {
      if (size === scratch.length) scratch = Buffer.concat([scratch], size * 2)
      last = readSync(fd, scratch, size, scratch.length - size, size)
      size += last
    }
    return scratch.toString("utf8", 0, size)
  }

  const closeKept = (path: string, { fd }: Kept): void => {
    kept.delete(path)
    closeSync(fd)
  }

  const closeUnread = (): void => {
    for (const [path, file] of kept) {
      if (file.read) file.read = false
      else closeKept(path, file)
    }
  }

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      ended = true
      for (const [path, file] of kept) closeKept(path, file)
    })
  )

  const readKept = (path: string): string => {
    const known = kept.get(path)
    const file = known ?? { fd: openSync(path, "r"), read: true }
    try {
      const text = readFrom(file.fd)
      file.read = true
      kept.set(path, file)
      return text
    } catch (error) {
      closeKept(path, file)
      // What it belonged to has gone; there may be a new one of the same name.
      if (known !== undefined && isAbsent(error)) return readKept(path)
      throw error
    }
  }

  const readOne = (path: string, keepOpen: boolean): string | undefined => {
    try {
      if (keepOpen && !ended && (kept.size < mostKept || kept.has(path))) return readKept(path)
      // The one reader of Node's that opens, reads and closes in one go.
      return readFileSync(path, "utf8")
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  /** As long as anything is open. */
  const look: Effect.Effect<void> = Effect.suspend(() => {
    closeUnread()
    looking = kept.size > 0
    return looking ? Effect.delay(look, rest) : Effect.void
  })

  const attempt = (paths: ReadonlyArray<string>, keepOpen: boolean) =>
    Effect.suspend(() => {
      let current = ""
      return Effect.try({
        try: () => paths.map((path) => readOne((current = path), keepOpen)),
        catch: (thrown) => linuxError("read", current, thrown)
      })
    })

  const startLooking = Effect.suspend(() => {
    if (looking || kept.size === 0) return Effect.void
    looking = true
    // Also where the reader must not be interrupted.
    return Effect.asVoid(Effect.forkIn(Effect.interruptible(Effect.delay(look, rest)), scope))
  })

  return {
    read: (paths, keepOpen) =>
      keepOpen && !looking ? Effect.tap(attempt(paths, keepOpen), startLooking) : attempt(paths, keepOpen),
    close: (directory) =>
      Effect.sync(() => {
        for (const [path, file] of kept) if (path.startsWith(`${directory}/`)) closeKept(path, file)
      })
  }
})

/** Entries that are asked for in one trip to the thread pool, and read in one go. */
const batch = 128

/** Targets of at most so many links of a directory such as /proc/PID/fd; undefined when it is not there. */
export const readKernelLinks = async (directory: string, limit: number): Promise<ReadonlyArray<string> | undefined> => {
  const targets: Array<string> = []
  try {
    for await (const { name } of await opendir(directory, { bufferSize: batch })) {
      if (targets.length >= limit) break
      try {
        targets.push(readlinkSync(`${directory}/${name}`))
      } catch (error) {
        // Closed meanwhile.
        if (!isAbsent(error)) throw error
      }
    }
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
  return targets
}
