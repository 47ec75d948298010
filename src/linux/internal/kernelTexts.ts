/** Files of cgroups and of /proc, read on the spot: nothing in them waits for a disk. */
import { readFileSync } from "node:fs"
import { codeOf } from "./attempt.ts"

const absent: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ENODEV", "ESRCH", "EOPNOTSUPP"])

const readKernelText = (path: string): string | undefined => {
  try {
    // The one reader of Node's that opens, reads and closes in one go.
    return readFileSync(path, "utf8")
  } catch (error) {
    if (absent.has(codeOf(error) ?? "")) return undefined
    throw error
  }
}

export const readKernelTexts = (paths: ReadonlyArray<string>): ReadonlyArray<string | undefined> =>
  paths.map(readKernelText)
