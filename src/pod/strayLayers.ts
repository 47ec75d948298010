/**
 * Layers that Cricket made for pods and containers, and that no record names any more: what is left where a loss of power
 * took back the end of a layer and not that of its owner's record. Layers of other programs are not touched.
 */
import { Effect, Option, Schema } from "effect"
import { ContainerStore } from "../store/ContainerStore.ts"
import type { Loaded } from "./Records.ts"
import { Releases } from "./Releases.ts"

const mark = { "created-by": "cricket" } as const

/** Metadata of a layer in the container store; CRI-O's tools pass over the mark. */
export const layerMetadata = (fields: Readonly<Record<string, unknown>>): string =>
  JSON.stringify({ ...fields, ...mark })

const Marked = Schema.fromJsonString(Schema.Struct({ "created-by": Schema.Literal(mark["created-by"]) }))
const isMarked = (metadata: string): boolean => Option.isSome(Schema.decodeUnknownOption(Marked)(metadata))

/** Ids of layers that `found` names: in rows, or by the id of a record that cannot be read. */
const named = ({ pods, containers, damaged }: Loaded): ReadonlySet<string> => {
  const rows = [...pods, ...containers].flatMap(({ resources }) => resources)
  const ids = rows.flatMap((row) =>
    row._tag === "Layer" ? [row.containerId] : row._tag === "ImageVolume" ? [row.volumeId] : []
  )
  return new Set([...ids, ...damaged.map(({ id }) => id)])
}

/** For the start, before anything new is made. */
export const strayLayers = Effect.fnUntraced(function* (found: Loaded) {
  const store = yield* ContainerStore
  const releases = yield* Releases
  const known = named(found)
  const strays = (yield* store.list).filter(({ id, metadata }) => isMarked(metadata) && !known.has(id))
  return strays.map(({ id }) => ({
    id,
    release: Effect.andThen(
      Effect.logWarning(`layer ${id} belongs to no pod or container any more; it is removed`),
      releases.insist(`removal of layer ${id}`, store.remove(id))
    )
  }))
})
