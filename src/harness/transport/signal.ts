/** Wakes whoever waits for what callbacks keep to become something. */
import { Effect } from "effect"

export interface Signal {
  /** After each change. */
  readonly wake: () => void
  /** Completes as soon as it holds, now or after a change. */
  readonly until: (holds: () => boolean) => Effect.Effect<void>
}

export const makeSignal = (): Signal => {
  const waiting = new Set<() => void>()
  return {
    wake: () => {
      for (const look of waiting) look()
    },
    until: (holds) =>
      Effect.callback<void>((resume) => {
        const look = () => {
          if (!holds()) return
          waiting.delete(look)
          resume(Effect.void)
        }
        waiting.add(look)
        look()
        return Effect.sync(() => void waiting.delete(look))
      })
  }
}
