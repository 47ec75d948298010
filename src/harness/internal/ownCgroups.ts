/** Cgroups outlive namespaces: those of a target that the harness has made go with it. */
import { Effect, Schedule } from "effect"
import { Files } from "../../linux/Files.ts"
import { isGone, type LinuxError } from "../../linux/LinuxError.ts"

const removeBelow: (path: string) => Effect.Effect<void, LinuxError, Files> = Effect.fnUntraced(function* (path) {
  const files = yield* Files
  // What is frozen does not die: a runtime may have been ended between the two.
  yield* Effect.ignore(files.writeExisting(`${path}/freezer.state`, "THAWED"))
  yield* Effect.ignore(files.writeExisting(`${path}/cgroup.freeze`, "0"))
  const entries = yield* files.readDirectoryEntries(path).pipe(Effect.catchIf(isGone, () => Effect.succeed([])))
  for (const { name, kind } of entries) if (kind === "directory") yield* removeBelow(`${path}/${name}`)
  yield* files.removeDirectory(path).pipe(Effect.catchIf(isGone, () => Effect.void))
})

const attempts = 40
const pauseMs = 50

/** Processes that were just killed are a moment in their cgroups yet. */
export const removeCgroups = Effect.fnUntraced(function* (parent: string) {
  const text = yield* (yield* Files).readText("/proc/self/mountinfo")
  const mounts = text.split("\n").flatMap((line) => (/ - cgroup2? /.test(line) ? (line.split(" ")[4] ?? []) : []))
  for (const mount of mounts) {
    yield* removeBelow(`${mount}${parent}`).pipe(
      Effect.retry({ times: attempts, schedule: Schedule.spaced(pauseMs) }),
      Effect.ignore
    )
  }
})
