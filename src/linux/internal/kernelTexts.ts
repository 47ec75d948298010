/** Files of cgroups and of /proc, read on the spot: nothing in them waits for a disk. */
import { readFileSync, readlinkSync } from "node:fs"
import { opendir } from "node:fs/promises"
import { codeOf } from "./attempt.ts"

const absent: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ENODEV", "ESRCH", "EOPNOTSUPP"])

const isAbsent = (error: unknown): boolean => absent.has(codeOf(error) ?? "")

const readKernelText = (path: string): string | undefined => {
  try {
    // The one reader of Node's that opens, reads and closes in one go.
    return readFileSync(path, "utf8")
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

export const readKernelTexts = (paths: ReadonlyArray<string>): ReadonlyArray<string | undefined> =>
  paths.map(readKernelText)

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
