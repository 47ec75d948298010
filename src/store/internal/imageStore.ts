/** The image store: snapshot for readers, staging and commit for pulls, removal. */
import { Effect, Stream } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { LayerUnpacker } from "../../linux/LayerUnpacker.ts"
import { isId } from "../../model/Id.ts"
import type { ImageStore } from "../ImageStore.ts"
import { ImageInUse, ImageNotFound, ioError } from "../StoreError.ts"
import { makeCommit } from "./commit.ts"
import { makeImageUsage } from "./imageUsage.ts"
import { withNames } from "./names.ts"
import { bigDataFile } from "./paths.ts"
import { leadingLayers } from "./snapshot.ts"
import { makeStaging } from "./staging.ts"
import { StoreRoot } from "./StoreRoot.ts"
import { chainOf, unusedLayers } from "./unused.ts"
import { makeViews } from "./views.ts"

const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

export const makeImageStore = Effect.gen(function* () {
  const root = yield* StoreRoot
  const files = yield* Files
  const unpacker = yield* LayerUnpacker
  const { paths, directories } = root

  const readItem = (imageId: string, item: string) =>
    files
      .readFile(bigDataFile(paths, imageId, item), { maxBytes: MAX_DOCUMENT_BYTES })
      .pipe(Effect.mapError(ioError(`read ${item} of image`, imageId)))
  const views = yield* makeViews(root, readItem)
  const staging = makeStaging({ files, unpacker, root })
  const commitImage = makeCommit({ root, files, staging })

  const manifest = Effect.fn("ImageStore.manifest")(function* (imageId: string) {
    const image = (yield* views.current).snapshot.byId.get(imageId)
    if (image === undefined) return yield* new ImageNotFound({ imageId })
    return yield* readItem(imageId, `manifest-${image.manifestDigest}`).pipe(
      Effect.catchIf(
        (error) => error.cause.code === "ENOENT",
        () => readItem(imageId, "manifest")
      )
    )
  })

  const commit: ImageStore["Service"]["commit"] = Effect.fn("ImageStore.commit")(function* (image) {
    const imageId = yield* commitImage(image)
    yield* views.refresh
    const stored = (yield* views.current).snapshot.byId.get(imageId)
    return stored ?? (yield* new ImageNotFound({ imageId }))
  })

  const addNames = Effect.fn("ImageStore.addNames")(function* (imageId: string, names: ReadonlyArray<string>) {
    yield* root.exclusive(
      Effect.fnUntraced(function* ({ images, saveImages }) {
        if (!images.some((image) => image.id === imageId)) return yield* new ImageNotFound({ imageId })
        yield* saveImages(withNames(images, imageId, names))
      })
    )
    yield* views.refresh
  })

  /** The image's record goes first: from then on nobody sees it, and its layers carry the mark that they may go. */
  const takeOut = (imageId: string) =>
    root.exclusive(
      Effect.fnUntraced(function* (transaction) {
        const { layers, images, containers, volatileContainers, saveImages, saveLayers } = transaction
        const record = images.find((image) => image.id === imageId)
        const users = [...containers, ...volatileContainers].filter((container) => container.image === imageId)
        if (users.length > 0) return yield* new ImageInUse({ imageId, containers: users.map(({ id }) => id) })
        if (record !== undefined) {
          const left = images.filter((image) => image.id !== imageId)
          const byId = new Map(layers.map((layer) => [layer.id, layer]))
          const chains = [record.layer, ...record.mappedLayers].flatMap((top) => chainOf(byId, top))
          const unused = unusedLayers({ ...transaction, images: left }, new Set(chains.map((layer) => layer.id)))
          yield* Effect.forEach(unused, directories.mark, { discard: true, concurrency: 4 })
          yield* saveImages(left)
          if (unused.length > 0) yield* saveLayers(layers.filter((layer) => !unused.includes(layer.id)))
          for (const id of unused) yield* directories.takeOut(id)
        }
        const documents = posix.join(paths.imagesDirectory, imageId)
        yield* files.removeTree(documents).pipe(Effect.mapError(ioError("remove", documents)))
      })
    )

  const remove = Effect.fn("ImageStore.remove")(function* (imageId: string) {
    // The id becomes a path: an image that was never there has nothing to remove.
    if (!isId(imageId)) return
    yield* takeOut(imageId)
    yield* views.refresh
    yield* root.trash.empty
  })

  const existingLayers = Effect.fn("ImageStore.existingLayers")(function* (diffIds: ReadonlyArray<string>) {
    yield* views.refresh
    return leadingLayers((yield* views.current).chains, diffIds).length
  })

  const imageUsage = yield* makeImageUsage(files, paths.overlay)
  const usage = Effect.gen(function* () {
    const records = yield* root.records
    const sizes = yield* imageUsage(records.layers.filter((layer) => layer.diffId !== undefined))
    return { mountpoint: paths.imagesDirectory, usedBytes: sizes.bytes, usedInodes: sizes.inodes }
  })

  return {
    snapshot: Effect.map(views.current, (view) => view.snapshot),
    changes: Stream.map(views.changes, (view) => view.snapshot),
    manifest,
    existingLayers,
    stageLayer: staging.stage,
    commit,
    addNames,
    remove,
    usage
  } satisfies ImageStore["Service"]
})
