/** Exit files: how conmon tells that a container has ended, also when nobody was listening. */
import { Effect, Option, Queue, Stream } from "effect"
import type { FileStat, Files } from "../../linux/Files.ts"
import { keepRunning } from "../../linux/keepRunning.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { because, ConmonError } from "../ConmonError.ts"
import type { ContainerExit, ExitFiles } from "../MonitoredContainer.ts"

// conmon writes "<id>.XXXXXX" first and renames it.
const exitFileName = /^[A-Za-z0-9][A-Za-z0-9_-]*$/
const rescanInterval = "5 seconds"

/** Ids of containers whose exit file is there or appears, each once for as long as the file stays. */
export const watchExits = (files: Files["Service"], directory: string): Stream.Stream<string> =>
  Stream.callback<string>((queue) =>
    Effect.gen(function* () {
      const known = new Set<string>()
      const announce = (name: string) => {
        if (known.has(name) || !exitFileName.test(name)) return
        known.add(name)
        Queue.offerUnsafe(queue, name)
      }
      const rescan = files.readDirectory(directory).pipe(
        Effect.map((names) => {
          for (const name of known) if (!names.includes(name)) known.delete(name)
          names.forEach(announce)
        }),
        Effect.catch((error) => Effect.logWarning(`exit directory: ${error.message}`))
      )
      const look = (name: string) =>
        files.lstat(`${directory}/${name}`).pipe(
          Effect.map(() => announce(name)),
          Effect.catch((error) => (isGone(error) ? Effect.sync(() => known.delete(name)) : Effect.void))
        )
      const watch = files.watch(directory).pipe(
        Stream.runForEach(look),
        Effect.catch((error) => Effect.logWarning(`watch of the exit directory: ${error.message}`)),
        Effect.andThen(Effect.sleep("1 second"))
      )
      // Armed before the first scan, so that no exit falls between the two.
      yield* keepRunning("the watch of the exit directory", watch)
      return yield* Effect.forever(Effect.andThen(rescan, Effect.sleep(rescanInterval)))
    })
  )

const stat = Effect.fnUntraced(function* (files: Files["Service"], path: string) {
  const found: Option.Option<FileStat> = yield* files.lstat(path).pipe(
    Effect.asSome,
    Effect.catchIf(isGone, () => Effect.succeedNone)
  )
  return found
})

/** None while the container has not ended. The persistent copy counts when the exit directory has lost its own. */
export const readExitFiles = Effect.fnUntraced(function* (files: Files["Service"], container: ExitFiles) {
  const { containerId, exitDirectory, persistDirectory } = container
  const failed = Effect.mapError(because("State", "read the exit code", containerId))
  for (const path of [`${exitDirectory}/${containerId}`, `${persistDirectory}/exit`]) {
    const file = yield* failed(stat(files, path))
    if (Option.isNone(file)) continue
    const text = (yield* failed(files.readText(path, { maxBytes: 64 }))).trim()
    if (!/^-?\d{1,4}$/.test(text)) {
      return yield* ConmonError.make({
        kind: "State",
        operation: "read the exit code",
        containerId,
        reason: `${path} holds ${JSON.stringify(text)}, not an exit code`
      })
    }
    const oom = yield* failed(stat(files, `${persistDirectory}/oom`))
    return Option.some<ContainerExit>({
      code: Number(text),
      finishedAtNs: nanoseconds(file.value.modifiedMs),
      oomKilled: Option.isSome(oom)
    })
  }
  return Option.none<ContainerExit>()
})

const nanoseconds = (ms: number): bigint =>
  BigInt(Math.trunc(ms)) * 1_000_000n + BigInt(Math.round((ms - Math.trunc(ms)) * 1e6))
