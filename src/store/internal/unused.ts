/** Which layers nobody needs. Pure. */
import type { LayerRecord } from "./records.ts"
import type { StoreRecords } from "./StoreRoot.ts"

type Users = Pick<StoreRecords, "layers" | "volatileLayers" | "images" | "containers" | "volatileContainers">

/**
 * Of `candidates`, the layers on which no image, container or other layer stands, and then those that only such
 * layers stood on. Top layers first: the order in which they can be removed.
 */
export const unusedLayers = (records: Users, candidates: ReadonlySet<string>): ReadonlyArray<string> => {
  const users = new Map<string, number>()
  const add = (id: string | undefined, count: number) => {
    if (id !== undefined) users.set(id, (users.get(id) ?? 0) + count)
  }
  const parents = new Map<string, string | undefined>()
  for (const layer of [...records.layers, ...records.volatileLayers]) {
    parents.set(layer.id, layer.parent)
    add(layer.parent, 1)
  }
  for (const image of records.images) for (const id of [image.layer, ...image.mappedLayers]) add(id, 1)
  for (const container of [...records.containers, ...records.volatileContainers]) add(container.layer, 1)

  const unused: Array<string> = []
  const queue = [...candidates].filter((id) => parents.has(id) && (users.get(id) ?? 0) === 0)
  for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
    unused.push(id)
    const parent = parents.get(id)
    add(parent, -1)
    if (parent !== undefined && candidates.has(parent) && users.get(parent) === 0) queue.push(parent)
  }
  return unused
}

/** A layer and all below it, top first. */
export const chainOf = (
  byId: ReadonlyMap<string, LayerRecord>,
  top: string | undefined
): ReadonlyArray<LayerRecord> => {
  const chain: Array<LayerRecord> = []
  const seen = new Set<string>()
  for (let layer = top === undefined ? undefined : byId.get(top); layer !== undefined && !seen.has(layer.id);) {
    chain.push(layer)
    seen.add(layer.id)
    layer = layer.parent === undefined ? undefined : byId.get(layer.parent)
  }
  return chain
}
