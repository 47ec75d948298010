/** Files of cgroups and of /proc, read on the spot: nothing in them waits for a disk. */
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs"
import { opendir } from "node:fs/promises"
import { codeOf } from "./attempt.ts"

const absent: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ENODEV", "ESRCH", "EOPNOTSUPP"])

const isAbsent = (error: unknown): boolean => absent.has(codeOf(error) ?? "")

let scratch = Buffer.allocUnsafe(16 * 1024)

/** The kernel gives whole lines out of a page at least: what is shorter than this was not cut off. */
const surelyWhole = 1024

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

interface Kept {
  readonly fd: number
  /** Since the last look. */
  read: boolean
}

/** By path. Reading an open file takes a third of the time of opening, reading and closing it. */
const kept = new Map<string, Kept>()

/** Descriptors are scarce where the limit of the service is low; what is not kept is only read more slowly. */
const mostKept = 2048

/** Between two looks for those that nobody reads any more. */
const restMs = 30_000

let timer: NodeJS.Timeout | undefined

const closeKept = (path: string, { fd }: Kept): void => {
  kept.delete(path)
  closeSync(fd)
}

const closeUnread = (): void => {
  for (const [path, file] of kept) {
    if (file.read) file.read = false
    else closeKept(path, file)
  }
  if (kept.size > 0) return
  clearInterval(timer)
  timer = undefined
}

/** Those below a directory that is on its way out. */
export const closeKernelTexts = (directory: string): void => {
  for (const [path, file] of kept) if (path.startsWith(`${directory}/`)) closeKept(path, file)
}

const readKept = (path: string): string => {
  const known = kept.get(path)
  const file = known ?? { fd: openSync(path, "r"), read: true }
  try {
    const text = readFrom(file.fd)
    file.read = true
    kept.set(path, file)
    timer ??= setInterval(closeUnread, restMs).unref()
    return text
  } catch (error) {
    closeKept(path, file)
    // What it belonged to has gone; there may be a new one of the same name.
    if (known !== undefined && isAbsent(error)) return readKept(path)
    throw error
  }
}

/** Undefined when it is not there. `keepOpen`: until nobody has read it for half a minute to a minute. */
export const readKernelText = (path: string, keepOpen: boolean): string | undefined => {
  try {
    if (keepOpen && (kept.size < mostKept || kept.has(path))) return readKept(path)
    // The one reader of Node's that opens, reads and closes in one go.
    return readFileSync(path, "utf8")
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

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
