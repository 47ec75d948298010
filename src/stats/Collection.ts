/** Collects statistics again and again where the configuration says how often; without that, nothing runs here. */
import { Effect, Layer } from "effect"
import { Settings } from "../config/Settings.ts"
import { collectionPeriod } from "./period.ts"
import { PodMetrics } from "./PodMetrics.ts"
import { Sampler } from "./Sampler.ts"

export const collection = Layer.effectDiscard(
  Effect.gen(function* () {
    const sampler = yield* Sampler
    const metrics = yield* PodMetrics
    const settings = yield* Settings
    const seconds = collectionPeriod(settings)
    if (seconds === 0) return
    const hasMetrics = settings.stats.included_pod_metrics.length > 0
    yield* sampler.everything.pipe(
      Effect.andThen(hasMetrics ? metrics.collect : Effect.void),
      Effect.catchCause((cause) => Effect.logError("statistics were not collected", cause)),
      Effect.andThen(Effect.sleep(`${seconds} seconds`)),
      Effect.forever,
      Effect.forkScoped
    )
  })
)
