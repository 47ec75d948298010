/** Paths that the root of a user namespace has to walk: it is nobody to the directories of the host's root. */
import { Effect } from "effect"
import { posix } from "node:path"
import type { Files } from "./Files.ts"
import type { LinuxError } from "./LinuxError.ts"

const searchableByAll = 0o111

/** Lets everybody search a directory and all above it; what is in them is listed and read no more than before. */
export const makeSearchable = Effect.fnUntraced(function* (
  files: Files["Service"],
  path: string
): Effect.fn.Return<void, LinuxError> {
  for (let directory = path; ; directory = posix.dirname(directory)) {
    const { mode } = yield* files.stat(directory)
    if ((mode & searchableByAll) !== searchableByAll) yield* files.chmod(directory, mode | searchableByAll)
    if (directory === "/") return
  }
})
