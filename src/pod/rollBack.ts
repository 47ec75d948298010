/** What follows when a start fails, is interrupted or dies of a defect: all it took goes back, then its record. */
import { Effect, Exit } from "effect"
import { Releases } from "./Releases.ts"
import { dissolve } from "./remove.ts"

export const rollBack = Effect.fnUntraced(function* (id: string) {
  yield* (yield* Releases).insist(`roll back ${id}`, dissolve(id))
})

/** The start's own failure stays the answer; a clean-up that does not succeed goes on in the background. */
export const rollBackOnFailure =
  (id: string) =>
  <A, E, R>(start: Effect.Effect<A, E, R>) =>
    start.pipe(Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Effect.ignore(rollBack(id)))))
