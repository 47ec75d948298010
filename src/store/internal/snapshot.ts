/** What readers see of the images: built from the records, replaced when they change, never changed itself. */
import { DateTime, Effect, Option, Result } from "effect"
import { digestOf, isDigest } from "../../model/Digest.ts"
import { type ImageConfig, parseImageConfig } from "../../model/ImageConfig.ts"
import type { ImageSnapshot, StoredImage } from "../ImageStore.ts"
import type { ImageRecord, LayerRecord } from "./records.ts"
import { chainOf } from "./unused.ts"

/** Snapshot and what only the store itself needs beside it. */
export interface StoreView {
  readonly snapshot: ImageSnapshot
  /** Complete image layers by `chainKey`. */
  readonly chains: ReadonlyMap<string, LayerRecord>
}

export const chainKey = (parent: string | undefined, diffId: string): string => `${parent ?? ""} ${diffId}`

/** Layers of images by their parent and content: whoever made them, under whatever id. */
export const chainsOf = (layers: ReadonlyArray<LayerRecord>): ReadonlyMap<string, LayerRecord> => {
  const chains = new Map<string, LayerRecord>()
  for (const layer of layers) {
    if (layer.diffId !== undefined && !layer.incomplete) chains.set(chainKey(layer.parent, layer.diffId), layer)
  }
  return chains
}

/** Leading layers of a chain (base first) that are there, base first. */
export const leadingLayers = (
  chains: ReadonlyMap<string, LayerRecord>,
  diffIds: ReadonlyArray<string>
): ReadonlyArray<LayerRecord> => {
  const found: Array<LayerRecord> = []
  let parent: string | undefined
  for (const diffId of diffIds) {
    const layer = chains.get(chainKey(parent, diffId))
    if (layer === undefined) break
    found.push(layer)
    parent = layer.id
  }
  return found
}

/** The names of the data items that may be the config: everything but manifests and signatures. */
const configItem = (record: ImageRecord): string | undefined =>
  record.bigDataNames.includes(`sha256:${record.id}`)
    ? `sha256:${record.id}`
    : record.bigDataNames.find((name) => isDigest(name))

export const epochMillis = (time: string): number =>
  Option.match(DateTime.make(time), { onNone: () => 0, onSome: DateTime.toEpochMillis })

type ReadItem<E> = (imageId: string, item: string) => Effect.Effect<Uint8Array, E>

/** None for an image whose config is not what it must be; fails when the disk does not say. */
const readConfig = Effect.fnUntraced(function* <E>(record: ImageRecord, read: ReadItem<E>) {
  const item = configItem(record)
  if (item === undefined) return Option.none<ImageConfig>()
  const bytes = yield* read(record.id, item)
  if (digestOf(bytes) !== item) return Option.none<ImageConfig>()
  return Result.getSuccess(parseImageConfig(bytes))
})

const sizeOf = (record: ImageRecord, chain: ReadonlyArray<LayerRecord>): number => {
  const item = configItem(record)
  const documents = (record.bigDataSizes["manifest"] ?? 0) + (item === undefined ? 0 : (record.bigDataSizes[item] ?? 0))
  return Math.max(
    1,
    chain.reduce((sum, layer) => sum + layer.diffSize, documents)
  )
}

const sameNames = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((name, index) => name === b[index])

const isSame = (a: StoredImage, b: StoredImage): boolean =>
  a.manifestDigest === b.manifestDigest &&
  a.topLayer === b.topLayer &&
  a.size === b.size &&
  a.createdMs === b.createdMs &&
  sameNames(a.names, b.names)

const indexed = (images: ReadonlyArray<StoredImage>): ImageSnapshot => ({
  images,
  byId: new Map(images.map((image) => [image.id, image])),
  byName: new Map(images.flatMap((image) => image.names.map((name) => [name, image] as const)))
})

export const emptyView: StoreView = { snapshot: indexed([]), chains: new Map() }

/**
 * The view of new records. Images that did not change stay the same objects, and when none did so does the snapshot;
 * the configs of images already known are not read again. Not complete when a config could not be read: worth another
 * look, though the records stay as they are.
 */
export const buildView = Effect.fnUntraced(function* <E>(
  records: { readonly images: ReadonlyArray<ImageRecord>; readonly layers: ReadonlyArray<LayerRecord> },
  previous: StoreView,
  read: ReadItem<E>
) {
  const layers = new Map(records.layers.map((layer) => [layer.id, layer]))
  const images: Array<StoredImage> = []
  let complete = true
  for (const record of records.images) {
    const chain = chainOf(layers, record.layer)
    const base = chain.at(-1)
    const broken = record.layer !== undefined && (base === undefined || base.parent !== undefined)
    if (broken || chain.some((layer) => layer.incomplete)) {
      yield* Effect.logDebug("image left out: a layer is missing", { image: record.id })
      continue
    }
    const before = previous.snapshot.byId.get(record.id)
    const config =
      before === undefined
        ? yield* readConfig(record, read).pipe(
            Effect.catch(() => {
              complete = false
              return Effect.succeed(Option.none<ImageConfig>())
            })
          )
        : Option.some(before.config)
    if (Option.isNone(config)) {
      yield* Effect.logDebug("image left out: its config cannot be read", { image: record.id })
      continue
    }
    const image: StoredImage = {
      id: record.id,
      manifestDigest: record.digest,
      names: record.names,
      topLayer: record.layer,
      size: sizeOf(record, chain),
      createdMs: epochMillis(record.created),
      config: config.value
    }
    images.push(before !== undefined && isSame(before, image) ? before : image)
  }
  const old = previous.snapshot.images
  const unchanged = images.length === old.length && images.every((image, index) => image === old[index])
  const view: StoreView = {
    snapshot: unchanged ? previous.snapshot : indexed(images),
    chains: chainsOf(records.layers)
  }
  return { view, complete }
})
