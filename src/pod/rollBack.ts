/** What follows when a start fails, is interrupted or dies of a defect: all it took goes back, then its record. */
import { Cause, Clock, Effect, Exit } from "effect"
import { messageOf } from "../linux/messageOf.ts"
import { Pods } from "./Pods.ts"
import { Releases } from "./Releases.ts"
import { dissolve, removeContainer, removePod } from "./remove.ts"

/** What cannot be given back is shown as a failed pod or container, so that clients do not wait for its name. */
const surrender = Effect.fnUntraced(function* (id: string, reason: string) {
  const pods = yield* Pods
  const isContainer = (yield* pods.snapshot).containers.has(id)
  const show = Effect.gen(function* () {
    if (isContainer) {
      yield* pods.moveContainer(id, { _tag: "CreateFailed", atNs: yield* Clock.currentTimeNanos, message: reason })
    } else {
      yield* pods.move(id, { _tag: "StartFailed", reason })
    }
  })
  // Gone already, or so far that it is listed anyway.
  yield* show.pipe(Effect.catchTag(["PodNotFound", "ContainerNotFound", "WrongState"], () => Effect.void))
  return isContainer
})

/** Key of the job that gives back a start which ended with the daemon: the same start asked for again waits for it. */
export const rollBackOf = (id: string): string => `roll back ${id}`

/** Does not fail: what does not succeed at once goes on in the background, as a removal. */
export const rollBack = Effect.fnUntraced(function* (id: string, reason: string) {
  const releases = yield* Releases
  const remove = Effect.flatMap(surrender(id, reason), (isContainer) =>
    isContainer ? removeContainer(id) : removePod(id)
  )
  const goOn = releases.persevere(`roll back ${id}`, remove)
  yield* dissolve(id).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? // No client sees what is half made, so none would ask again. Where the daemon ends, this ends with it.
          goOn
        : Effect.logWarning(`roll back of ${id} failed and goes on as its removal`, cause).pipe(
            Effect.andThen(Effect.ignore(surrender(id, reason))),
            Effect.andThen(goOn)
          )
    )
  )
})

const reasonOf = (cause: Cause.Cause<unknown>): string =>
  Cause.hasInterruptsOnly(cause) ? "it was interrupted" : messageOf(Cause.squash(cause))

/** The start's own failure stays the answer. */
export const rollBackOnFailure =
  (id: string) =>
  <A, E, R>(start: Effect.Effect<A, E, R>) =>
    start.pipe(Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : rollBack(id, reasonOf(exit.cause)))))
