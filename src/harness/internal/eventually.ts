/** What happens by itself has some seconds to have happened. */
import { Effect } from "effect"

const shortestMs = 5
const longestMs = 50

/** Looks again until the answer is good or the time is over; the last answer then. */
export const eventually = Effect.fnUntraced(function* <A, E, R>(
  seconds: number,
  look: Effect.Effect<A, E, R>,
  isGood: (found: A) => boolean
): Effect.fn.Return<A, E, R> {
  for (let waited = 0, pause = shortestMs; ; pause = Math.min(2 * pause, longestMs)) {
    const found = yield* look
    if (isGood(found) || waited >= seconds * 1000) return found
    yield* Effect.sleep(pause)
    waited += pause
  }
})
