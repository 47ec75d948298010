/**
 * The life of a container.
 *
 *   Creating ──Created──► Created ──Started──► Running ──StopRequested──► Stopping
 *      │                     │                    │                          │
 *      │                     ├──StopRequested─────┼─────────────────────────►│
 *      │CreateFailed         │StartFailed, Exited │Exited                    │Exited
 *      └─────────────────────┴──► Exited ◄────────┴──────────────────────────┘
 *
 * A Creating container is not listed; when that fails its record goes. Only when something of it cannot be given back
 * is it kept, Exited, so that clients see it and take the next attempt. Stopping carries the moment at which patience
 * ends; a further request can bring that moment nearer, never push it away. Exited is final.
 */
import { Result, Schema } from "effect"

/** Nanoseconds since the epoch; 0 for "never". */
const Nanoseconds = Schema.BigIntFromString

const process = { pid: Schema.Int, startTime: Schema.Int }

export const ContainerState = Schema.TaggedUnion({
  Creating: {},
  Created: process,
  Running: { ...process, startedAtNs: Nanoseconds },
  Stopping: {
    ...process,
    startedAtNs: Nanoseconds,
    /** Milliseconds since the epoch: SIGKILL from then on. */
    deadlineMs: Schema.Finite
  },
  Exited: {
    startedAtNs: Nanoseconds,
    finishedAtNs: Nanoseconds,
    exitCode: Schema.Int,
    reason: Schema.String,
    message: Schema.String
  }
})
export type ContainerState = typeof ContainerState.Type

/** Until its end is written down, also while it is being stopped; never one whose start was overtaken by its stop. */
export const isRunning = (state: ContainerState): boolean =>
  state._tag === "Running" || (state._tag === "Stopping" && state.startedAtNs > 0n)

export type ContainerEvent =
  | { readonly _tag: "Created"; readonly pid: number; readonly startTime: number }
  | { readonly _tag: "CreateFailed"; readonly atNs: bigint; readonly message: string }
  | { readonly _tag: "Started"; readonly atNs: bigint }
  | { readonly _tag: "StartFailed"; readonly atNs: bigint; readonly message: string }
  | { readonly _tag: "StopRequested"; readonly deadlineMs: number }
  | {
      readonly _tag: "Exited"
      readonly exitCode: number
      readonly finishedAtNs: bigint
      readonly reason: string
      readonly message: string
    }

const startedAt = (state: ContainerState): bigint => ("startedAtNs" in state ? state.startedAtNs : 0n)

const later = (left: bigint, right: bigint): bigint => (left > right ? left : right)

const earlier = (left: bigint, right: bigint): bigint => (left < right ? left : right)

/** 128: containerd's code for a process that never ran. */
const neverRan = (reason: string, { atNs, message }: { readonly atNs: bigint; readonly message: string }) =>
  ({ _tag: "Exited", startedAtNs: 0n, finishedAtNs: atNs, exitCode: 128, reason, message }) as const

/** The next state, the same object when the event changes nothing, or the reason of refusal. */
export const transition = (state: ContainerState, event: ContainerEvent): Result.Result<ContainerState, string> => {
  const refused = Result.fail(`it is ${state._tag}`)
  switch (event._tag) {
    case "Created":
      if (state._tag !== "Creating") return refused
      return Result.succeed({ _tag: "Created", pid: event.pid, startTime: event.startTime })
    case "CreateFailed":
      if (state._tag === "Exited") return Result.succeed(state)
      if (state._tag !== "Creating") return refused
      return Result.succeed(neverRan("CreateError", event))
    case "Started":
      // A short-lived process may have been seen to exit before its start is reported.
      if (state._tag === "Exited" && state.startedAtNs === 0n) {
        return Result.succeed({ ...state, startedAtNs: earlier(event.atNs, state.finishedAtNs) })
      }
      if (state._tag !== "Created") return refused
      return Result.succeed({ _tag: "Running", pid: state.pid, startTime: state.startTime, startedAtNs: event.atNs })
    case "StartFailed":
      if (state._tag === "Exited") return Result.succeed(state)
      if (state._tag !== "Created") return refused
      return Result.succeed(neverRan("StartError", event))
    case "StopRequested":
      switch (state._tag) {
        case "Creating":
          return refused
        case "Exited":
          return Result.succeed(state)
        case "Stopping":
          return Result.succeed(
            event.deadlineMs < state.deadlineMs ? { ...state, deadlineMs: event.deadlineMs } : state
          )
        case "Created":
        case "Running":
          return Result.succeed({
            _tag: "Stopping",
            pid: state.pid,
            startTime: state.startTime,
            startedAtNs: startedAt(state),
            deadlineMs: event.deadlineMs
          })
      }
    case "Exited":
      if (state._tag === "Creating") return refused
      if (state._tag === "Exited") return Result.succeed(state)
      return Result.succeed({
        _tag: "Exited",
        startedAtNs: startedAt(state),
        // The time of a file, by a clock that is some milliseconds behind: of a short life, before the start that was shown.
        finishedAtNs: later(startedAt(state), event.finishedAtNs),
        exitCode: event.exitCode,
        reason: event.reason,
        message: event.message
      })
  }
}

/** What a process that a seccomp profile kills exits with: 128 + SIGSYS. */
const seccompKill = 159

/** The reason kubelet shows for an exit (CRI ContainerStatus.reason), in CRI-O's words. */
export const exitReason = (exitCode: number, oomKilled: boolean): string => {
  if (oomKilled) return "OOMKilled"
  if (exitCode === seccompKill) return "seccomp killed"
  return exitCode === 0 ? "Completed" : "Error"
}
