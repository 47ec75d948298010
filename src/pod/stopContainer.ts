/**
 * Ends a container's process: its stop signal once, patience until the deadline in its record, then SIGKILL until the
 * exit is recorded. The deadline can come nearer while this waits.
 */
import { Clock, Duration, Effect } from "effect"
import { Processes } from "../linux/Processes.ts"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { Jobs } from "./Jobs.ts"
import { Pods } from "./Pods.ts"
import { sendStopSignal } from "./stopSignal.ts"

const SIGKILL = 9

/** How long a monitor may take to write down an exit that the kernel has already reported. */
const monitorPatience = Duration.seconds(5)

const exited = (container: ContainerRecord) => container.state._tag === "Exited"

/** Returns when patience has ended or the container has. */
const untilDeadline = Effect.fnUntraced(function* (id: string) {
  const pods = yield* Pods
  while (true) {
    const { state } = yield* pods.container(id)
    if (state._tag !== "Stopping") return
    const left = state.deadlineMs - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    const nearer = pods.awaitContainer(
      id,
      (container) => container.state._tag !== "Stopping" || container.state.deadlineMs < state.deadlineMs
    )
    yield* Effect.raceFirst(Effect.sleep(left), nearer)
  }
})

/** SIGKILL, again and again with growing pauses: a process in uninterruptible sleep dies when it wakes. */
const killUntilExited = Effect.fnUntraced(function* (id: string) {
  const pods = yield* Pods
  const processes = yield* Processes
  for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 120_000)) {
    const { state } = yield* pods.container(id)
    if (state._tag !== "Stopping") return
    const alive = yield* processes.signal(state, SIGKILL)
    const patience = alive ? Duration.millis(pauseMs) : monitorPatience
    const ended = yield* pods.awaitContainer(id, exited).pipe(Effect.timeoutOption(patience))
    if (ended._tag === "Some") return
    if (alive) continue
    yield* pods.moveContainer(id, {
      _tag: "Exited",
      exitCode: 255,
      finishedAtNs: yield* Clock.currentTimeNanos,
      reason: "Unknown",
      message: "its monitor ended before it could record the exit code"
    })
    return
  }
})

const endProcess = Effect.fn("endProcess")(function* (id: string) {
  const pods = yield* Pods
  const container = yield* pods.container(id)
  if (container.state._tag !== "Stopping") return
  // A process that was never started runs no handler: nothing to be patient for.
  if (container.state.startedAtNs > 0n) {
    const asked = sendStopSignal(container.state, container.stopSignal).pipe(Effect.andThen(Effect.never))
    yield* Effect.raceFirst(asked, untilDeadline(id))
  }
  yield* killUntilExited(id)
})

/** Waits until the container has exited. `graceSeconds` below what an earlier request gave shortens that one. */
export const stopContainer = Effect.fn("stopContainer")(function* (id: string, graceSeconds: number) {
  const pods = yield* Pods
  const jobs = yield* Jobs
  const now = yield* Clock.currentTimeMillis
  const container = yield* pods.moveContainer(id, { _tag: "StopRequested", deadlineMs: now + graceSeconds * 1000 })
  if (exited(container)) return
  yield* jobs.attach(`stop container ${id}`, endProcess(id))
})
