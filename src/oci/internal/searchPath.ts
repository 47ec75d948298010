/** Finds programs the way a shell does, over the seam. */
import { Effect } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { systemPath } from "../../model/SystemPath.ts"

const isProgram = Effect.fnUntraced(function* (path: string) {
  const files = yield* Files
  return yield* files.stat(path).pipe(
    Effect.map(({ kind, mode }) => kind === "file" && (mode & 0o111) !== 0),
    Effect.orElseSucceed(() => false)
  )
})

/** Absolute path of a program, undefined where there is none. A path is checked, a name searched. */
export const findProgram = Effect.fnUntraced(function* (program: string) {
  const candidates = posix.isAbsolute(program)
    ? [program]
    : systemPath.split(":").map((directory) => posix.join(directory, program))
  for (const candidate of candidates) {
    if (yield* isProgram(candidate)) return candidate
  }
  return undefined
})
