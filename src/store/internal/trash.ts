/** What has left the store and is to be removed: nothing of it is forgotten as long as this process lives. */
import { Effect } from "effect"
import type { Files } from "../../linux/Files.ts"
import { ioError } from "../StoreError.ts"
import { makeRetried } from "./retried.ts"

export interface Trash {
  /** From now on the path will be removed, a second later or by whoever empties the trash before. */
  readonly add: (path: string) => Effect.Effect<void>
  /** Removes all there is; may take long, so not under a lock. What cannot be removed is tried again in the background. */
  readonly empty: Effect.Effect<void>
}

export const makeTrash = Effect.fnUntraced(function* (files: Pick<Files["Service"], "removeTree">) {
  const waiting = new Set<string>()
  const inHand = new Set<string>()

  const remove = (path: string) =>
    Effect.acquireUseRelease(
      Effect.sync(() => inHand.add(path)),
      () =>
        files.removeTree(path).pipe(
          Effect.tap(() => Effect.sync(() => waiting.delete(path))),
          Effect.mapError(ioError("remove", path))
        ),
      () => Effect.sync(() => inHand.delete(path))
    )
  /** One that cannot be removed does not keep the others. */
  const removeAll = Effect.suspend(() =>
    Effect.forEach(
      [...waiting].filter((path) => !inHand.has(path)),
      (path) => Effect.result(remove(path)),
      { concurrency: 2 }
    )
  ).pipe(Effect.flatMap((results) => Effect.forEach(results, (result) => Effect.fromResult(result), { discard: true })))

  const later = yield* makeRetried("removal from the layer store", removeAll, { atOnce: false })

  return {
    add: (path) => Effect.suspend(() => Effect.andThen(Effect.succeed(waiting.add(path)), later.request)),
    empty: Effect.ensuring(
      Effect.ignore(removeAll),
      Effect.suspend(() => (waiting.size > 0 ? later.request : Effect.void))
    )
  } satisfies Trash
})
