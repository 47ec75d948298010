/**
 * The life of a pod sandbox.
 *
 *   Starting ──NetworkUp──► Ready ──StopRequested──► Stopping ──Stopped──► NotReady
 *      │                      └────────────────Lost────────────────────────►▲
 *      └──────────────────────────StartFailed───────────────────────────────┘
 *
 * A Starting pod is not listed; when its start fails its record goes. Only when something of it cannot be given back is
 * the failed pod kept, NotReady, so that clients see it and take the next attempt. NotReady is final.
 */
import { Result, Schema } from "effect"

export const PodState = Schema.TaggedUnion({
  Starting: {},
  Ready: {},
  Stopping: {},
  NotReady: { reason: Schema.String }
})
export type PodState = typeof PodState.Type

export type PodEvent =
  | { readonly _tag: "NetworkUp" }
  | { readonly _tag: "StartFailed"; readonly reason: string }
  | { readonly _tag: "StopRequested" }
  | { readonly _tag: "Stopped" }
  /** What the pod stands on is gone: its namespaces after a reboot, its pause process. */
  | { readonly _tag: "Lost"; readonly reason: string }

/** The next state, the same object when the event changes nothing, or the reason of refusal. */
export const transition = (state: PodState, event: PodEvent): Result.Result<PodState, string> => {
  switch (event._tag) {
    case "NetworkUp":
      return state._tag === "Starting" ? Result.succeed({ _tag: "Ready" }) : Result.fail(`it is ${state._tag}`)
    case "StartFailed":
      if (state._tag === "NotReady") return Result.succeed(state)
      if (state._tag !== "Starting") return Result.fail(`it is ${state._tag}`)
      return Result.succeed({ _tag: "NotReady", reason: event.reason })
    case "StopRequested":
      if (state._tag === "Starting") return Result.fail("it is still starting")
      return Result.succeed(state._tag === "Ready" ? { _tag: "Stopping" } : state)
    case "Stopped":
      if (state._tag === "Starting" || state._tag === "Ready") return Result.fail(`it is ${state._tag}`)
      return Result.succeed(state._tag === "Stopping" ? { _tag: "NotReady", reason: "stopped" } : state)
    case "Lost":
      if (state._tag === "Starting") return Result.fail("it is still starting")
      return Result.succeed(state._tag === "NotReady" ? state : { _tag: "NotReady", reason: event.reason })
  }
}
