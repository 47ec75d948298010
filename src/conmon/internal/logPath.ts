/** What may be a container's log file. conmon follows links and truncates, so it only gets paths that were looked at. */
import { Effect, Option } from "effect"
import { posix } from "node:path"
import type { FileStat, Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { because, ConmonError } from "../ConmonError.ts"

export interface LogSubject {
  readonly operation: string
  readonly containerId: string
  readonly logPath: string
}

/**
 * The log file as it is, None where there is none. Refused: relative paths, anything but a regular file at the path or
 * at `<path>.tmp` (which conmon opens and renames on reopening), and ":", by which conmon tells log drivers apart.
 */
export const inspectLogPath = Effect.fnUntraced(function* (files: Files["Service"], subject: LogSubject) {
  const { operation, containerId, logPath } = subject
  const refuse = (reason: string) => ConmonError.make({ kind: "Log", operation, containerId, reason })
  const quoted = JSON.stringify(logPath)
  if (!posix.isAbsolute(logPath) || logPath !== posix.normalize(logPath)) {
    return yield* refuse(`log path ${quoted} is not an absolute path without "..", "." and "//"`)
  }
  if (logPath.includes(":")) return yield* refuse(`log path ${quoted} contains ":", which conmon cannot take`)

  const inspect = Effect.fnUntraced(function* (path: string) {
    const stat: Option.Option<FileStat> = yield* files.lstat(path).pipe(
      Effect.asSome,
      Effect.catchIf(isGone, () => Effect.succeedNone),
      Effect.mapError(because("Log", operation, containerId))
    )
    if (Option.isSome(stat) && stat.value.kind !== "file") {
      return yield* refuse(`log path ${JSON.stringify(path)} is a ${stat.value.kind}, not a regular file`)
    }
    return stat
  })

  yield* inspect(`${logPath}.tmp`)
  return yield* inspect(logPath)
})
