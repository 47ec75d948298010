/** Collects statistics again and again where the configuration says how often; without that, nothing runs here. */
import { Effect, Layer } from "effect"
import { Settings } from "../config/Settings.ts"
import { collectionPeriod } from "./period.ts"
import { Sampler } from "./Sampler.ts"

export const collection = Layer.effectDiscard(
  Effect.gen(function* () {
    const sampler = yield* Sampler
    const seconds = collectionPeriod(yield* Settings)
    if (seconds === 0) return
    yield* sampler.everything.pipe(
      Effect.catchCause((cause) => Effect.logError("statistics were not collected", cause)),
      Effect.andThen(Effect.sleep(`${seconds} seconds`)),
      Effect.forever,
      Effect.forkScoped
    )
  })
)
