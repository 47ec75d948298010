/**
 * How much containers have written. Measuring walks through every file of a layer, so it is a job of its own: requests
 * take the last measurement, and wait only for a first one, and not for long.
 */
import { Clock, Context, Duration, Effect, Layer, Option, Semaphore } from "effect"
import { Jobs } from "../pod/Jobs.ts"
import { ContainerStore } from "../store/ContainerStore.ts"

export interface Measured {
  readonly bytes: bigint
  readonly inodes: bigint
  /** Nanoseconds since the epoch. */
  readonly atNs: bigint
}

interface Entry extends Measured {
  /** Nanoseconds since the epoch: not measured again before. */
  readonly restUntilNs: bigint
}

export class LayerUsage extends Context.Service<
  LayerUsage,
  {
    /** At most 10 s old, or ten times as old as measuring took. None: not known yet, or the container is gone. */
    readonly of: (containerId: string) => Effect.Effect<Option.Option<Measured>>
  }
>()("cricket/stats/LayerUsage") {
  static readonly layer = Layer.effect(
    LayerUsage,
    Effect.gen(function* () {
      const store = yield* ContainerStore
      const jobs = yield* Jobs
      const walks = yield* Semaphore.make(maxWalks)
      const entries = new Map<string, Entry>()

      const forgetRemoved = Effect.map(store.list, (containers) => {
        const present = new Set(containers.map(({ id }) => id))
        for (const id of entries.keys()) if (!present.has(id)) entries.delete(id)
      })

      const measure = Effect.fn("LayerUsage.measure")(
        function* (id: string) {
          const startedNs = yield* Clock.currentTimeNanos
          const { bytes, inodes } = yield* store.usage(id)
          const atNs = yield* Clock.currentTimeNanos
          const walkNs = atNs - startedNs
          const restNs = walkNs * 10n > minimumRestNs ? walkNs * 10n : minimumRestNs
          yield* forgetRemoved
          entries.set(id, { bytes, inodes, atNs, restUntilNs: atNs + restNs })
        },
        (effect, id) =>
          Effect.catchTags(effect, {
            ContainerNotFound: () => Effect.sync(() => entries.delete(id)),
            StoreIo: (error) => Effect.logDebug(`the writable layer of container ${id} cannot be measured`, error)
          }),
        Effect.catch((error) => Effect.logWarning(error.message)),
        Effect.asVoid
      )

      const of = Effect.fnUntraced(function* (id: string) {
        const entry = entries.get(id)
        if (entry === undefined || (yield* Clock.currentTimeNanos) >= entry.restUntilNs) {
          yield* jobs
            .attach(`measure container ${id}`, walks.withPermit(measure(id)))
            .pipe(Effect.timeoutOption(entry === undefined ? firstPatience : patience))
        }
        return Option.fromUndefinedOr(entries.get(id))
      })

      return LayerUsage.of({ of })
    })
  )
}

const minimumRestNs = 10_000_000_000n

/** The pool that lists directories has four threads, and everybody needs them. */
const maxWalks = 2

const firstPatience = Duration.seconds(1)
const patience = Duration.millis(100)
