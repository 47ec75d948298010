/** How long to wait before asking a registry again. */
import { Effect, Random } from "effect"
import { monotonicMs } from "../../linux/monotonicMs.ts"
import { isTransient, type RegistryError } from "../RegistryError.ts"

const longestMs = 60_000

/** Milliseconds before attempt number `failures + 1`. */
const delayMs = (error: RegistryError, failures: number): number => {
  if (error._tag === "RegistryRefused" && error.status === 429) {
    return Math.min(error.retryAfterMs ?? 2000 * 2 ** (failures - 1), longestMs)
  }
  return Math.min(250 * 2 ** (failures - 1), 10_000)
}

/** Waits after the n-th failure in a row (1 is the first), or fails with the error where no further try makes sense. */
export const backOff = Effect.fnUntraced(function* (error: RegistryError, failures: number, attempts: number) {
  if (!isTransient(error) || failures >= attempts) return yield* error
  yield* Effect.sleep(delayMs(error, failures) * (yield* Random.nextBetween(0.75, 1.25)))
})

/** Tries up to `attempts` times. */
export const retrying = <A, R>(attempts: number, effect: Effect.Effect<A, RegistryError, R>) => {
  const attempt = (failures: number): Effect.Effect<A, RegistryError, R> =>
    effect.pipe(
      Effect.catch((error) =>
        Effect.andThen(
          backOff(error, failures + 1, attempts),
          Effect.suspend(() => attempt(failures + 1))
        )
      )
    )
  return attempt(0)
}

/** Milliseconds that an effect took, with its result. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = yield* monotonicMs
    const exit = yield* Effect.exit(effect)
    return [(yield* monotonicMs) - start, exit] as const
  })
