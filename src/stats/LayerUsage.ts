/**
 * How much containers have written. Measuring walks through every file of a layer, so it is a job in the background:
 * requests take the last measurement, and wait only for a first one, and not for long.
 */
import { Clock, Context, Duration, Effect, FiberSet, Layer, Semaphore } from "effect"
import { monotonicMs } from "../linux/monotonicMs.ts"
import { Jobs } from "../pod/Jobs.ts"
import { ContainerStore } from "../store/ContainerStore.ts"

export interface Measured {
  readonly bytes: bigint
  readonly inodes: bigint
  /** Nanoseconds since the epoch. */
  readonly atNs: bigint
}

interface Entry extends Measured {
  /** Not measured again before; of the monotonic clock. */
  readonly restUntilMs: number
}

export class LayerUsage extends Context.Service<
  LayerUsage,
  {
    /**
     * Has these containers measured whose last measurement is older than 10 s, or than ten times what it took. Waits for
     * first measurements, a second at most, and a moment for those that nobody has asked for in a long time.
     */
    readonly refresh: (containerIds: ReadonlyArray<string>) => Effect.Effect<void>
    /** Undefined: not known yet, or the container is gone. */
    readonly last: (containerId: string) => Measured | undefined
  }
>()("cricket/stats/LayerUsage") {
  static readonly layer = Layer.effect(
    LayerUsage,
    Effect.gen(function* () {
      const store = yield* ContainerStore
      const jobs = yield* Jobs
      const walks = yield* Semaphore.make(maxWalks)
      const background = yield* FiberSet.make()
      const entries = new Map<string, Entry>()

      const forgetRemoved = Effect.map(store.list, (containers) => {
        const present = new Set(containers.map(({ id }) => id))
        for (const id of entries.keys()) if (!present.has(id)) entries.delete(id)
      })

      const measure = Effect.fn("LayerUsage.measure")(
        function* (id: string) {
          const startedMs = yield* monotonicMs
          const { bytes, inodes } = yield* store.usage(id)
          const atNs = yield* Clock.currentTimeNanos
          const endedMs = yield* monotonicMs
          yield* forgetRemoved
          const restMs = Math.max((endedMs - startedMs) * 10, minimumRestMs)
          entries.set(id, { bytes, inodes, atNs, restUntilMs: endedMs + restMs })
        },
        (effect, id) =>
          Effect.catchTags(effect, {
            ContainerNotFound: () => Effect.sync(() => entries.delete(id)),
            StoreIo: (error) => Effect.logDebug(`the writable layer of container ${id} cannot be measured`, error)
          }),
        Effect.catch((error) => Effect.logWarning(error.message)),
        Effect.asVoid
      )

      const walk = (id: string) => jobs.attach(`measure container ${id}`, walks.withPermit(measure(id)))

      const waitedFor = Effect.fnUntraced(function* (ids: ReadonlyArray<string>, patience: Duration.Input) {
        yield* Effect.forEach(ids, walk, { concurrency: "unbounded", discard: true }).pipe(
          Effect.timeoutOption(patience)
        )
      })

      const refresh = Effect.fn("LayerUsage.refresh")(function* (ids: ReadonlyArray<string>) {
        const nowMs = yield* monotonicMs
        const [first, late, rest]: [Array<string>, Array<string>, Array<string>] = [[], [], []]
        for (const id of ids) {
          const entry = entries.get(id)
          if (entry === undefined) first.push(id)
          else if (nowMs - entry.restUntilMs >= lateAfterMs) late.push(id)
          else if (nowMs >= entry.restUntilMs) rest.push(id)
        }
        yield* Effect.forEach(rest, (id) => FiberSet.run(background, walk(id)), { discard: true })
        yield* Effect.all([waitedFor(first, firstPatience), waitedFor(late, patience)], { concurrency: 2 })
      })

      return LayerUsage.of({ refresh, last: (id) => entries.get(id) })
    })
  )
}

const minimumRestMs = 10_000

/** Somebody who asks every ten seconds is always less late. */
const lateAfterMs = 20_000

/** The pool that lists directories has four threads, and everybody needs them. */
const maxWalks = 2

const firstPatience = "1 second"
const patience = "100 millis"
