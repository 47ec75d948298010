/** Work that has to be done in the end: in the background, and tried again until it succeeds. */
import { Cause, Effect, Latch } from "effect"

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 60_000

export interface Retried {
  /** The work is done a second later, and again with growing pauses as long as it fails. */
  readonly request: Effect.Effect<void>
}

/** `atOnce` does `task` for the first time, without a pause. Ends with the scope. */
export const makeRetried = Effect.fnUntraced(function* <E>(
  name: string,
  task: Effect.Effect<void, E>,
  options: { readonly atOnce: boolean }
) {
  const due = yield* Latch.make(options.atOnce)
  let pause = options.atOnce ? 0 : FIRST_PAUSE_MS
  const failed = (cause: Cause.Cause<E>) =>
    Cause.hasInterruptsOnly(cause)
      ? Effect.interrupt
      : Effect.suspend(() => {
          pause = Math.min(Math.max(FIRST_PAUSE_MS, pause * 2), LONGEST_PAUSE_MS)
          return Effect.andThen(Effect.logWarning(`${name} failed and is tried again`, cause), due.open)
        })
  const round = Effect.gen(function* () {
    yield* due.await
    if (pause > 0) yield* Effect.sleep(pause)
    yield* due.close
    const done = Effect.sync(() => {
      pause = FIRST_PAUSE_MS
    })
    yield* Effect.andThen(task, done).pipe(Effect.catchCause(failed))
  })
  yield* Effect.forkScoped(Effect.forever(round), { startImmediately: true })
  return { request: Effect.asVoid(due.open) } satisfies Retried
})
