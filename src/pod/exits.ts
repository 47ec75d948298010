/** Brings exits, as monitors record them, into the state of containers and pods. */
import { Effect, Option, Stream } from "effect"
import { Conmon } from "../conmon/Conmon.ts"
import { Files } from "../linux/Files.ts"
import { exitReason } from "./ContainerState.ts"
import { Pods } from "./Pods.ts"
import { PodSettings } from "./PodSettings.ts"

/** Takes one exit over, if its monitor has recorded one; unknown ids belong to others or are being removed. */
export const recordExit = Effect.fn("recordExit")(function* (id: string) {
  const pods = yield* Pods
  const conmon = yield* Conmon
  const { exitsDirectory } = yield* PodSettings
  const { containers, pods: all } = yield* pods.snapshot
  const container = containers.get(id)
  if (container === undefined) {
    // A pause container has the id of its pod.
    if (all.get(id)?.pause === null) return
    yield* pods
      .move(id, { _tag: "Lost", reason: "the process that holds its PID namespace has ended" })
      .pipe(Effect.catchTag(["PodNotFound", "WrongState"], () => Effect.void))
    return
  }
  const exit = yield* conmon.readExit({
    exitDirectory: exitsDirectory,
    persistDirectory: container.bundle,
    containerId: id
  })
  if (Option.isNone(exit)) return
  const { code, finishedAtNs, oomKilled } = exit.value
  yield* pods
    .moveContainer(id, {
      _tag: "Exited",
      exitCode: code,
      finishedAtNs,
      reason: exitReason(code, oomKilled),
      message: ""
    })
    .pipe(Effect.catchTag(["ContainerNotFound", "WrongState"], () => Effect.void))
})

/** Runs for ever. The directory has to be there for its changes to be seen. */
export const followExits = Effect.gen(function* () {
  const conmon = yield* Conmon
  const files = yield* Files
  const { exitsDirectory } = yield* PodSettings
  yield* files.makeDirectory(exitsDirectory, { mode: 0o755, recursive: true })
  yield* conmon
    .exits(exitsDirectory)
    .pipe(
      Stream.runForEach((id) =>
        recordExit(id).pipe(
          Effect.catchCause((cause) => Effect.logError(`exit of container ${id} not recorded`, cause))
        )
      )
    )
})
