/** How long something took or may take is told by this clock, which no step of the host's time moves. */
import { Clock, Effect } from "effect"

/** Milliseconds since some moment in the past. */
export const monotonicMs: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) =>
  Number(nanos / 1_000_000n)
)
