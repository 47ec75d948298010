/**
 * Ends a container's process: its stop signal once, patience until the deadline in its record, then SIGKILL until the
 * exit is recorded. The deadline can come nearer while this waits.
 */
import { Clock, Effect, Option } from "effect"
import { monotonicMs } from "../linux/monotonicMs.ts"
import { Processes } from "../linux/Processes.ts"
import { hasExited, settleExit } from "./exits.ts"
import { Jobs } from "./Jobs.ts"
import { Pods } from "./Pods.ts"
import { sendStopSignal } from "./stopSignal.ts"
import { SIGKILL } from "../model/Signal.ts"

/**
 * Returns when patience has ended or the container has. The record's deadline is of the wall clock, for a daemon that
 * starts later; the wait is by the clock that does not jump.
 */
const untilDeadline = Effect.fnUntraced(function* (id: string) {
  const pods = yield* Pods
  let endMs = Number.POSITIVE_INFINITY
  while (true) {
    const { state } = yield* pods.container(id)
    if (state._tag !== "Stopping") return
    const nowMs = yield* monotonicMs
    endMs = Math.min(endMs, nowMs + state.deadlineMs - (yield* Clock.currentTimeMillis))
    if (nowMs >= endMs) return
    const nearer = pods.awaitContainer(
      id,
      (container) => container.state._tag !== "Stopping" || container.state.deadlineMs < state.deadlineMs
    )
    yield* Effect.timeoutOption(nearer, endMs - nowMs)
  }
})

/** SIGKILL, again and again with growing pauses: a process in uninterruptible sleep dies when it wakes. */
const killUntilExited = Effect.fnUntraced(function* (id: string) {
  const pods = yield* Pods
  const processes = yield* Processes
  for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 120_000)) {
    const { state } = yield* pods.container(id)
    if (state._tag !== "Stopping") return
    if (!(yield* processes.signal(state, SIGKILL))) return yield* settleExit(id)
    const ended = yield* Effect.timeoutOption(pods.awaitContainer(id, hasExited), pauseMs)
    if (Option.isSome(ended)) return
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
  if (hasExited(container)) return
  yield* jobs.attach(`stop container ${id}`, endProcess(id))
})
