/** Keeps pulls that share leading layers from downloading them twice: the second waits until the first has them or is gone. */
import { Deferred, Effect } from "effect"
import { digestOf, type Digest } from "../../model/Digest.ts"

/** Identity of each layer together with all below it (OCI image-spec config.md, "Layer ChainID"). */
export const chainIds = (diffIds: ReadonlyArray<Digest>): ReadonlyArray<string> => {
  const ids: Array<string> = []
  for (const diffId of diffIds) {
    const below = ids.at(-1)
    ids.push(below === undefined ? diffId : digestOf(new TextEncoder().encode(`${below} ${diffId}`)))
  }
  return ids
}

export const makeLayerClaims = Effect.sync(() => {
  const claimed = new Map<string, Deferred.Deferred<void>>()

  /**
   * Claims the layers of a chain that the store lacks and answers how many leading ones it has. Claims end with the scope.
   * Who waits holds no claim, so no two pulls wait for each other.
   */
  const claim = Effect.fnUntraced(function* <E, R>(
    diffIds: ReadonlyArray<Digest>,
    existingLayers: Effect.Effect<number, E, R>
  ) {
    const chain = chainIds(diffIds)
    while (true) {
      const existing = yield* existingLayers
      const missing = chain.slice(existing)
      // The look and the claim are one step: another pull's between them would claim the same layers.
      const busy = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const holder = missing.map((id) => claimed.get(id)).find((done) => done !== undefined)
          const done = Deferred.makeUnsafe<void>()
          if (holder === undefined) for (const id of missing) claimed.set(id, done)
          return { holder, done }
        }),
        ({ holder, done }) =>
          Effect.suspend(() => {
            if (holder !== undefined) return Effect.void
            for (const id of missing) claimed.delete(id)
            return Deferred.succeed(done, undefined)
          })
      )
      if (busy.holder === undefined) return existing
      yield* Deferred.await(busy.holder)
    }
  })
  return { claim }
})

export type LayerClaims = Effect.Success<typeof makeLayerClaims>
