/** The queue of starts: more than cores + 1 at once add latency and no throughput (docs of PodSettings.admittedStarts). */
import { Context, Duration, Effect, Layer, Semaphore } from "effect"
import { Jobs } from "./Jobs.ts"
import { PodSettings } from "./PodSettings.ts"

/**
 * A start that takes longer than this waits for somebody else and costs no processor time: a network plugin whose agent
 * is not there yet, a registry, a disk. It goes on without a turn, so that the pod that it waits for can start.
 */
const longestTurn = Duration.seconds(3)

export class Admission extends Context.Service<
  Admission,
  {
    /** Runs a start when its turn has come; the wait for it is listed under `name`. A turn lasts 3 s at most. */
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
            Effect.gen(function* () {
              yield* restore(turns.take(1)).pipe(jobs.waiting(`turn of ${name}`))
              let held = true
              const giveBack = Effect.suspend(() => {
                if (!held) return Effect.void
                held = false
                return Effect.asVoid(turns.release(1))
              })
              yield* Effect.forkChild(Effect.interruptible(Effect.delay(giveBack, longestTurn)), {
                startImmediately: true
              })
              return yield* restore(self).pipe(Effect.ensuring(giveBack))
            })
          )
      })
    })
  )
}
