/** The queue of starts: more than cores + 1 at once add latency and no throughput (docs of PodSettings.admittedStarts). */
import { Context, Effect, Layer, Semaphore } from "effect"
import { Jobs } from "./Jobs.ts"
import { PodSettings } from "./PodSettings.ts"

export class Admission extends Context.Service<
  Admission,
  {
    /** Runs a start when its turn has come; the wait for it is listed under `name`. */
    readonly admit: (name: string) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  }
>()("cricket/pod/Admission") {
  static readonly layer = Layer.effect(
    Admission,
    Effect.gen(function* () {
      const jobs = yield* Jobs
      const { admittedStarts } = yield* PodSettings
      const turns = yield* Semaphore.make(admittedStarts)
      return Admission.of({
        admit: (name) => (self) =>
          Effect.uninterruptibleMask((restore) =>
            restore(turns.take(1)).pipe(
              jobs.waiting(`turn of ${name}`),
              Effect.andThen(restore(self).pipe(Effect.ensuring(turns.release(1))))
            )
          )
      })
    })
  )
}
