/**
 * Work that outlives the request that asked for it. A job is keyed by what it makes: asking again attaches to it and
 * gets its result, a client that gives up only stops waiting. Jobs and named waits are listed at GET /debug/waits.
 */
import { Context, Deferred, Effect, FiberSet, Layer } from "effect"
import { monotonicMs } from "../linux/monotonicMs.ts"

export interface Wait {
  readonly name: string
  readonly kind: "job" | "wait"
  /** Milliseconds since it began. */
  readonly ageMs: number
}

interface Running {
  readonly name: string
  readonly kind: Wait["kind"]
  readonly sinceMs: number
}

export class Jobs extends Context.Service<
  Jobs,
  {
    /**
     * Runs `work` in the server's scope unless a job of that key runs already; either way waits for the result.
     * Interrupting the caller leaves the job running. The end of the server interrupts the job and all who wait for it.
     */
    readonly attach: <A, E, R>(key: string, work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Waits until the job of that key has ended, however; at once when there is none. */
    readonly settled: (key: string) => Effect.Effect<void>
    /** Names what this fiber waits for while it does. */
    readonly waiting: (name: string) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    readonly list: Effect.Effect<ReadonlyArray<Wait>>
  }
>()("cricket/pod/Jobs") {
  static readonly layer = Layer.effect(
    Jobs,
    Effect.gen(function* () {
      const fibers = yield* FiberSet.make<unknown, unknown>()
      // A key determines the type of its result: only calls that build the same object share one.
      const jobs = new Map<string, Deferred.Deferred<unknown, unknown>>()
      const running = new Set<Running>()

      const listed =
        (name: string, kind: Wait["kind"]) =>
        <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
          Effect.acquireUseRelease(
            Effect.map(monotonicMs, (sinceMs) => {
              const entry: Running = { name, kind, sinceMs }
              running.add(entry)
              return entry
            }),
            () => self,
            (entry) => Effect.sync(() => running.delete(entry))
          )

      const attach = <A, E, R>(key: string, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            // Between the look and the entry no other fiber may have its turn: two jobs would make the same object.
            const known = jobs.get(key)
            const result = Deferred.makeUnsafe<A, E>()
            if (known === undefined) jobs.set(key, result as Deferred.Deferred<unknown, unknown>)
            else return yield* restore(Deferred.await(known as Deferred.Deferred<A, E>))
            const fiber = yield* listed(key, "job")(work).pipe(FiberSet.run(fibers, { startImmediately: true }))
            // However the job ends, its waiters learn it: also when the server's end interrupts it or leaves it unstarted.
            fiber.addObserver((exit) => {
              jobs.delete(key)
              Deferred.doneUnsafe(result, exit)
            })
            return yield* restore(Deferred.await(result))
          })
        )

      const settled = (key: string) =>
        Effect.suspend(() => {
          // However it ends: the types of its result do not matter.
          const known = jobs.get(key) as Deferred.Deferred<void, void> | undefined
          return known === undefined ? Effect.void : Effect.asVoid(Effect.exit(Deferred.await(known)))
        })

      return Jobs.of({
        attach,
        settled,
        waiting: (name) => listed(name, "wait"),
        list: Effect.map(monotonicMs, (now) =>
          Array.from(running, ({ name, kind, sinceMs }) => ({ name, kind, ageMs: now - sinceMs }))
        )
      })
    })
  )
}
