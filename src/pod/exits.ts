/** Brings exits into the state of containers and pods: as monitors record them, and where no monitor is left to do so. */
import { Clock, Duration, Effect, Option, Schedule, Stream } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Conmon } from "../conmon/Conmon.ts"
import { Files } from "../linux/Files.ts"
import { keepRunning } from "../linux/keepRunning.ts"
import { hasEnded, Processes, type ProcessIdentity } from "../linux/Processes.ts"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { exitReason } from "./ContainerState.ts"
import { Jobs } from "./Jobs.ts"
import { killCgroup } from "./killCgroup.ts"
import { Pods } from "./Pods.ts"
import { PodSettings } from "./PodSettings.ts"
import { startPatience } from "./startProcess.ts"

/** A monitor that lives may take so long to write down an exit: it writes out the log before. */
const recordingPatience = Duration.seconds(60)

/** Key of the job that starts a container. */
export const startOf = (containerId: string): string => `StartContainer ${containerId}`

/** How often processes are looked at: their monitors tell of exits, but monitors can be killed. */
const sweepInterval = Duration.seconds(10)

export const isAlive = Effect.fnUntraced(function* (identity: ProcessIdentity) {
  const found = yield* (yield* Processes).find(identity.pid)
  return Option.isSome(found) && found.value.startTime === identity.startTime && !hasEnded(found.value)
})

export const hasExited = (container: ContainerRecord): boolean => container.state._tag === "Exited"

/**
 * Without a PID namespace of its own a container's other processes outlive the first. A daemon that died over this may
 * have left them frozen.
 */
export const endStragglers = ({ id, resources }: ContainerRecord) =>
  Effect.forEach(resources, (row) => (row._tag === "Runtime" ? killCgroup(row.cgroup) : Effect.void), {
    discard: true
  }).pipe(
    Effect.catch((error) => Effect.logWarning(`processes of the ended container ${id} are left: ${error.message}`))
  )

const inOwnTime = Effect.forkDetach({ startImmediately: true })

/** What SIGKILL ends with: the kernel's, where memory has run out. */
const killed = 137

/** The monitor may not have heard of it when the process is gone already, but the cgroup is still there. */
const ranOutOfMemory = Effect.fnUntraced(function* ({ resources }: ContainerRecord) {
  const cgroups = yield* Cgroups
  const runtime = resources.find((row) => row._tag === "Runtime")
  if (runtime === undefined || runtime.cgroup === "") return false
  const found = yield* Effect.orElseSucceed(cgroups.usageInDetail(runtime.cgroup), () => undefined)
  return (found?.details.oomKills ?? 0n) > 0n
})

const lostPause = Effect.fnUntraced(function* (podId: string) {
  yield* (yield* Pods)
    .move(podId, { _tag: "Lost", reason: "the process that holds its PID namespace has ended" })
    .pipe(Effect.catchTag(["PodNotFound", "WrongState"], () => Effect.void))
})

/** Takes one exit over, if its monitor has recorded one; unknown ids belong to others or are being removed. */
export const recordExit = Effect.fn("recordExit")(function* (id: string) {
  const pods = yield* Pods
  const conmon = yield* Conmon
  const { exitsDirectory } = yield* PodSettings
  const { containers, pods: all } = yield* pods.snapshot
  const container = containers.get(id)
  if (container === undefined) {
    // A pause container has the id of its pod.
    if (all.get(id)?.pause !== null) yield* lostPause(id)
    return
  }
  if (hasExited(container)) return
  const exit = yield* conmon.readExit({
    exitDirectory: exitsDirectory,
    persistDirectory: container.bundle,
    containerId: id
  })
  if (Option.isNone(exit)) return
  // A short life ends before its start is answered for: what that answer is, a start or its failure, comes first.
  if (container.state._tag === "Created") {
    yield* Effect.timeoutOption((yield* Jobs).settled(startOf(id)), startPatience)
  }
  const { code, finishedAtNs } = exit.value
  const unasked = code === killed && container.state._tag !== "Stopping"
  const oomKilled = exit.value.oomKilled || (unasked && (yield* ranOutOfMemory(container)))
  yield* pods
    .moveContainer(id, {
      _tag: "Exited",
      exitCode: code,
      finishedAtNs,
      reason: exitReason(code, oomKilled),
      message: ""
    })
    .pipe(
      Effect.andThen(inOwnTime(endStragglers(container))),
      Effect.catchTag(["ContainerNotFound", "WrongState"], () => Effect.void)
    )
})

/**
 * For a container whose process has ended: takes its exit over as soon as the monitor has recorded it. Without a monitor
 * the exit code is lost (255, Unknown), which clients must learn all the same.
 */
export const settleExit = Effect.fn("settleExit")(function* (id: string) {
  const pods = yield* Pods
  const conmon = yield* Conmon
  let problem = "its monitor ended before it could record the exit code"
  const limitMs = Duration.toMillis(recordingPatience)
  for (let waitedMs = 0, pauseMs = 20; ; waitedMs += pauseMs, pauseMs = Math.min(pauseMs * 2, 1000)) {
    const container = yield* pods.container(id)
    // Before the record is read: what a monitor writes as the last thing of its life is there then.
    const monitor = yield* conmon.monitor({ containerId: id, bundle: container.bundle })
    yield* recordExit(id).pipe(
      Effect.catchTag("ConmonError", ({ message }) =>
        Effect.sync(() => {
          problem = message
        })
      )
    )
    if (hasExited(yield* pods.container(id))) return
    if (Option.isNone(monitor)) break
    if (waitedMs >= limitMs) {
      problem = `its monitor has not recorded the exit code in ${Duration.format(recordingPatience)}`
      break
    }
    yield* Effect.timeoutOption(pods.awaitContainer(id, hasExited), pauseMs)
  }
  yield* Effect.logWarning(`container ${id} has ended, its exit code is lost: ${problem}`)
  const lost = yield* pods.moveContainer(id, {
    _tag: "Exited",
    exitCode: 255,
    finishedAtNs: yield* Clock.currentTimeNanos,
    reason: "Unknown",
    message: problem
  })
  yield* inOwnTime(endStragglers(lost))
})

/** Finds processes that have ended without a word from their monitors. */
const sweep = Effect.gen(function* () {
  const { containers, pods } = yield* (yield* Pods).snapshot
  for (const { id, state, pause } of pods.values()) {
    if (state._tag === "Ready" && pause !== null && !(yield* isAlive(pause))) yield* lostPause(id)
  }
  const ended: Array<string> = []
  for (const { id, state } of containers.values()) {
    if ("pid" in state && !(yield* isAlive(state))) ended.push(id)
  }
  const settle = (id: string) =>
    settleExit(id).pipe(Effect.catchTag(["ContainerNotFound", "WrongState"], () => Effect.void))
  yield* Effect.forEach(ended, settle, { concurrency: "unbounded", discard: true })
})

/** In the background, for as long as the scope lives. */
export const followExits = Effect.gen(function* () {
  const conmon = yield* Conmon
  const files = yield* Files
  const { exitsDirectory } = yield* PodSettings
  const logging = (what: string) => Effect.catchCause((cause) => Effect.logError(`${what} failed`, cause))
  const watch = files.makeDirectory(exitsDirectory, { mode: 0o755, recursive: true }).pipe(
    Effect.tapError((error) => Effect.logError(`exits cannot be watched yet: ${error.message}`)),
    // The directory has to be there for its changes to be seen.
    Effect.retry(Schedule.spaced("5 seconds")),
    Effect.andThen(
      conmon.exits(exitsDirectory).pipe(
        Stream.mapEffect((id) => recordExit(id).pipe(logging(`taking over the exit of container ${id}`)), {
          concurrency: "unbounded",
          unordered: true
        }),
        Stream.runDrain
      )
    )
  )
  yield* keepRunning("the watch for exits", watch)
  yield* keepRunning("the look at containers' processes", Effect.andThen(Effect.sleep(sweepInterval), sweep))
})
