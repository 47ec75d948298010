/** Makes a pulled image part of the store: layers moved in, their records, the image's documents, its record. */
import { DateTime, Effect, Result } from "effect"
import { posix } from "node:path"
import { writeFileAtomic } from "../../linux/atomicWrite.ts"
import { Files } from "../../linux/Files.ts"
import { digestOf } from "../../model/Digest.ts"
import { parseImageConfig } from "../../model/ImageConfig.ts"
import type { NewImage, StagedLayer } from "../ImageStore.ts"
import { DigestMismatch, ImageInvalid, ioError, LayerMissing } from "../StoreError.ts"
import { withNames } from "./names.ts"
import { bigDataFile, imageLayerId, tarSplitPath } from "./paths.ts"
import { changeRecord, imageCodec, type ImageRecord, layerCodec, type LayerRecord, newRecord } from "./records.ts"
import { chainKey, chainsOf } from "./snapshot.ts"
import type { Staged, Staging } from "./staging.ts"
import type { StoreRoot, StoreTransaction } from "./StoreRoot.ts"

/** containers/storage, pkg/archive. */
const compressionNumber = { none: 0, gzip: 2, zstd: 4 } as const

export const makeCommit = (dependencies: {
  readonly root: StoreRoot["Service"]
  readonly files: Files["Service"]
  readonly staging: Staging
}) => {
  const { root, files, staging } = dependencies
  const { paths, directories } = root

  /** The config's diffIDs, after checking that all parts belong together. */
  const verified = Effect.fnUntraced(function* (image: NewImage) {
    const imageId = digestOf(image.config).slice("sha256:".length)
    const actual = digestOf(image.manifest)
    if (actual !== image.manifestDigest) {
      return yield* new DigestMismatch({
        object: `manifest of image ${imageId}`,
        expected: image.manifestDigest,
        actual
      })
    }
    const config = parseImageConfig(image.config)
    if (Result.isFailure(config)) return yield* new ImageInvalid({ imageId, reason: config.failure.message })
    const diffIds = config.success.rootfs.diff_ids
    const given = image.layers.map((layer) => ("existing" in layer ? layer.existing : layer.diffId))
    if (given.length !== diffIds.length || given.some((diffId, index) => diffId !== diffIds[index])) {
      return yield* new ImageInvalid({ imageId, reason: "its layers are not those that its config names" })
    }
    return { imageId, config: config.success }
  })

  const layerRecord = (id: string, parent: string | undefined, staged: Staged, created: string): LayerRecord =>
    newRecord(layerCodec, {
      id,
      ...(parent === undefined ? {} : { parent }),
      created,
      "compressed-diff-digest": staged.unpacked.blobDigest,
      "compressed-size": staged.unpacked.blobSize,
      "diff-digest": staged.unpacked.diffId,
      "diff-size": staged.unpacked.diffSize,
      ...(staged.source.compression === "none" ? {} : { compression: compressionNumber[staged.source.compression] }),
      uidset: staged.unpacked.uids,
      gidset: staged.unpacked.gids
    })

  const moveIn = Effect.fnUntraced(function* (
    layer: StagedLayer,
    staged: Staged,
    id: string,
    parent: string | undefined
  ) {
    yield* directories.moveIn({ staged: staged.directory, id, parent, durable: true })
    staging.taken(layer)
    yield* files.rename(staged.tarSplit, tarSplitPath(paths, id)).pipe(Effect.mapError(ioError("commit layer", id)))
  })

  /** Layers that are there are used; the others are moved in. Their records are saved once, when all are complete. */
  const commitLayers = Effect.fnUntraced(function* (imageId: string, image: NewImage, transaction: StoreTransaction) {
    const chains = chainsOf(transaction.layers)
    const created = DateTime.formatIso(yield* DateTime.now)
    const added: Array<LayerRecord> = []
    let parent: string | undefined
    for (const layer of image.layers) {
      const diffId = "existing" in layer ? layer.existing : layer.diffId
      const present = added.length === 0 ? chains.get(chainKey(parent, diffId)) : undefined
      if (present !== undefined) {
        parent = present.id
        continue
      }
      const staged = "existing" in layer ? undefined : staging.find(layer)
      if ("existing" in layer || staged === undefined) return yield* new LayerMissing({ layer: diffId, imageId })
      const id = imageLayerId(parent, diffId)
      yield* moveIn(layer, staged, id, parent)
      added.push(layerRecord(id, parent, staged, created))
      parent = id
    }
    if (added.length === 0) return parent
    yield* files.syncDirectory(paths.layersDirectory).pipe(Effect.mapError(ioError("sync", paths.layersDirectory)))
    yield* transaction.saveLayers([...transaction.layers, ...added])
    return parent
  })

  const writeDocuments = Effect.fnUntraced(function* (
    imageId: string,
    items: ReadonlyArray<readonly [string, Uint8Array]>
  ) {
    const directory = posix.join(paths.imagesDirectory, imageId)
    const io = ioError("write documents of image", imageId)
    yield* files.makeDirectory(directory, { mode: 0o700, recursive: true }).pipe(Effect.mapError(io))
    yield* Effect.forEach(
      items,
      ([item, bytes]) =>
        writeFileAtomic(bigDataFile(paths, imageId, item), bytes).pipe(
          Effect.provideService(Files, files),
          Effect.mapError(io)
        ),
      { discard: true, concurrency: 3 }
    )
  })

  const imageRecord = (
    before: ImageRecord | undefined,
    imageId: string,
    image: NewImage,
    top: string | undefined,
    items: ReadonlyArray<readonly [string, Uint8Array]>,
    created: string
  ): ImageRecord => {
    const digests = before?.raw["big-data-digests"]
    const data = {
      digest: image.manifestDigest,
      "big-data-names": [...new Set([...(before?.bigDataNames ?? []), ...items.map(([item]) => item)])],
      "big-data-sizes": { ...before?.bigDataSizes, ...Object.fromEntries(items.map(([item, b]) => [item, b.length])) },
      "big-data-digests": {
        ...(typeof digests === "object" ? digests : {}),
        ...Object.fromEntries(items.map(([item, bytes]) => [item, digestOf(bytes)]))
      }
    }
    return before === undefined
      ? newRecord(imageCodec, {
          id: imageId,
          ...(top === undefined ? {} : { layer: top }),
          metadata: "{}",
          created,
          ...data
        })
      : changeRecord(imageCodec, before, { ...data, ...(top === undefined ? {} : { layer: top }) })
  }

  /**
   * The layers' directories, their records, the documents, the image's record, each complete before the next: what an
   * error keeps from becoming visible has no user, and goes with the repair that follows. Answers the image's id.
   */
  return Effect.fnUntraced(function* (image: NewImage) {
    const { imageId, config } = yield* verified(image)
    const now = DateTime.formatIso(yield* DateTime.now)
    const items: ReadonlyArray<readonly [string, Uint8Array]> = [
      [`sha256:${imageId}`, image.config],
      [`manifest-${image.manifestDigest}`, image.manifest],
      ["manifest", image.manifest]
    ]
    yield* root.exclusive(
      Effect.fnUntraced(function* (transaction) {
        const top = yield* commitLayers(imageId, image, transaction)
        const before = transaction.images.find((record) => record.id === imageId)
        const record = imageRecord(before, imageId, image, top, items, config.created ?? now)
        const others = transaction.images.filter((other) => other.id !== imageId)
        yield* writeDocuments(imageId, items)
        yield* transaction.saveImages(withNames([...others, record], imageId, image.names))
      })
    )
    return imageId
  })
}
