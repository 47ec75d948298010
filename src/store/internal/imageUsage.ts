/**
 * What image layers use. They never change, so each is measured once, in the background: a store may hold millions of
 * files, and kubelet asks for the first time while it connects.
 */
import { Effect, FiberSet, Semaphore } from "effect"
import { posix } from "node:path"
import type { Files } from "../../linux/Files.ts"
import type { LayerRecord } from "./records.ts"

interface Used {
  readonly bytes: bigint
  readonly inodes: bigint
}

/** Small layers are measured by then; of the others the size of their archive is told until they are. */
const patience = "1 second"

export const makeImageUsage = Effect.fnUntraced(function* (files: Files["Service"], overlay: string) {
  const background = yield* FiberSet.make()
  /** The pool that lists directories has four threads, and everybody needs them. */
  const walks = yield* Semaphore.make(1)
  const measured = new Map<string, Used>()
  const underWay = new Set<string>()

  const measure = (id: string) =>
    files.diskUsage(posix.join(overlay, id, "diff")).pipe(
      Effect.tap((used) => Effect.sync(() => measured.set(id, used))),
      // Gone meanwhile, or measured at the next request.
      Effect.catch((error) => Effect.logDebug(`image layer ${id} cannot be measured: ${error.message}`)),
      walks.withPermit,
      Effect.ensuring(Effect.sync(() => underWay.delete(id)))
    )

  return Effect.fnUntraced(function* (layers: ReadonlyArray<Pick<LayerRecord, "id" | "diffSize">>) {
    const present = new Set(layers.map(({ id }) => id))
    for (const id of measured.keys()) if (!present.has(id)) measured.delete(id)
    const unknown = [...present].filter((id) => !measured.has(id) && !underWay.has(id))
    for (const id of unknown) {
      underWay.add(id)
      yield* FiberSet.run(background, measure(id))
    }
    if (unknown.length > 0) yield* Effect.timeoutOption(FiberSet.awaitEmpty(background), patience)
    return layers.reduce<Used>(
      (sum, { id, diffSize }) => {
        const used = measured.get(id) ?? { bytes: BigInt(diffSize), inodes: 0n }
        return { bytes: sum.bytes + used.bytes, inodes: sum.inodes + used.inodes }
      },
      { bytes: 0n, inodes: 0n }
    )
  })
})
