/** Keeps the view of the store fresh: after our own changes at once, after others' by a watch and a look every 2 s. */
import { Cause, Effect, Semaphore, Stream, SubscriptionRef } from "effect"
import { Files } from "../../linux/Files.ts"
import { buildView, emptyView } from "./snapshot.ts"
import type { StoreRecords, StoreRoot } from "./StoreRoot.ts"

const POLL = "2 seconds"

/**
 * `current` is free; `refresh` looks whether the files changed (a stat each) and builds a new view only then. When the
 * store cannot be read the last view stays.
 */
export const makeViews = Effect.fnUntraced(function* <E>(
  root: StoreRoot["Service"],
  readItem: (imageId: string, item: string) => Effect.Effect<Uint8Array, E>
) {
  const files = yield* Files
  const view = yield* SubscriptionRef.make(emptyView)
  const one = yield* Semaphore.make(1)
  let seen: StoreRecords | undefined

  const refresh = one.withPermit(
    Effect.gen(function* () {
      const records = yield* root.records
      if (records.images === seen?.images && records.layers === seen.layers) return
      const previous = yield* SubscriptionRef.get(view)
      const next = yield* buildView(records, previous, readItem)
      seen = next.complete ? records : undefined
      yield* SubscriptionRef.set(view, next.view)
    })
  )

  const refreshOrLog = refresh.pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.logWarning("the store cannot be read", cause)
    )
  )
  yield* refreshOrLog
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(POLL), refreshOrLog)), { startImmediately: true })
  for (const directory of [root.paths.imagesDirectory, root.paths.layersDirectory]) {
    yield* files.watch(directory).pipe(
      Stream.filter((name) => name.endsWith("s.json")),
      Stream.runForEach(() => refreshOrLog),
      // Without the watch the look every 2 s is left.
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.logWarning(`watch of ${directory} ended`, cause)
      ),
      Effect.forkScoped({ startImmediately: true })
    )
  }

  const changes = SubscriptionRef.changes(view).pipe(
    Stream.changesWith((a, b) => a.snapshot === b.snapshot),
    Stream.drop(1)
  )
  return { current: SubscriptionRef.get(view), refresh, changes }
})
