/** Work without an end, which nothing but the end of its owner ends. */
import { Cause, type Duration, Effect, type Scope } from "effect"

/**
 * Does `step` in the background, again and again, until the scope closes. What ends it otherwise, a bug as well, is
 * logged under `name`, and after `pause` (default one second) it is begun again: a daemon that has stopped to listen
 * looks healthy and is not.
 */
export const keepRunning = <E, R>(
  name: string,
  step: Effect.Effect<void, E, R>,
  pause: Duration.Input = "1 second"
): Effect.Effect<void, never, R | Scope.Scope> =>
  step.pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.andThen(Effect.logError(`${name} has ended and is begun again`, cause), Effect.sleep(pause))
    ),
    Effect.forever,
    Effect.forkScoped({ startImmediately: true }),
    Effect.asVoid
  )
