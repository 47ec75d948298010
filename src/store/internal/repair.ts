/**
 * Gives back what a crash left: staging directories of processes that are gone, layers of ours that were moved in but
 * never recorded, and layers of ours that no image or container came to use. What other programs made is not touched.
 */
import { Effect, Option } from "effect"
import { posix } from "node:path"
import { isTemporaryName } from "../../linux/atomicWrite.ts"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { Locks } from "../../linux/Locks.ts"
import { isId } from "../../model/Id.ts"
import { ioError } from "../StoreError.ts"
import { shortNames } from "./layerDirectories.ts"
import { isStagedFile, layerDirectory, MARKER, stagedPrefix } from "./paths.ts"
import type { StoreRoot, StoreTransaction } from "./StoreRoot.ts"
import { unusedLayers } from "./unused.ts"

type Root = StoreRoot["Service"]

const isMarked = Effect.fnUntraced(function* (root: Root, id: string) {
  const files = yield* Files
  const marker = posix.join(layerDirectory(root.paths, id), MARKER)
  return yield* files.lstat(marker).pipe(
    Effect.as(true),
    Effect.catchIf(isGone, () => Effect.succeed(false)),
    Effect.mapError(ioError("stat", marker))
  )
})

/** Staging directories whose process no longer holds their lock. */
const staleStaging = Effect.fnUntraced(function* (root: Root, own: string) {
  const files = yield* Files
  const locks = yield* Locks
  const { staging } = root.paths
  const { layersDirectory } = root.paths
  // Read first: what a living process has there afterwards has its directory in the staging area already.
  const waiting = yield* files.readDirectory(layersDirectory).pipe(Effect.mapError(ioError("read", layersDirectory)))
  const names = yield* files.readDirectory(staging).pipe(Effect.mapError(ioError("read", staging)))
  for (const name of names) {
    const directory = posix.join(staging, name)
    if (directory === own) continue
    yield* Effect.scoped(
      Effect.gen(function* () {
        const held = yield* locks.tryAcquire(posix.join(directory, "lock"), "write")
        if (Option.isNone(held)) return
        yield* Effect.logInfo("removing what an earlier process left half-made", { directory })
        for (const file of waiting) {
          if (file.startsWith(stagedPrefix(directory))) {
            yield* files.removeTree(posix.join(layersDirectory, file))
          }
        }
        yield* files.removeTree(directory)
      })
    ).pipe(Effect.mapError(ioError("repair", directory)))
  }
  // A power loss may have taken the directory and left these.
  for (const file of waiting.filter(
    (name) => isStagedFile(name) && !names.some((part) => name.startsWith(stagedPrefix(part)))
  )) {
    const path = posix.join(layersDirectory, file)
    yield* files.removeTree(path).pipe(Effect.mapError(ioError("remove", path)))
  }
})

/** Marked layers without a record or without a user leave the store, and short names that lead nowhere. */
const strayIn = Effect.fnUntraced(function* (root: Root, transaction: StoreTransaction) {
  const files = yield* Files
  const { overlay } = root.paths
  const recorded = new Set([...transaction.layers, ...transaction.volatileLayers].map((layer) => layer.id))
  const present = yield* files.readDirectory(overlay).pipe(Effect.mapError(ioError("read", overlay)))
  const stray: Array<string> = []
  for (const id of present) {
    if (isId(id) && !recorded.has(id) && (yield* isMarked(root, id))) stray.push(id)
  }
  const takeOut = (ids: ReadonlyArray<string>) =>
    Effect.forEach(
      ids,
      (layer) =>
        Effect.andThen(Effect.logInfo("removing a layer that nobody uses", { layer }), root.directories.takeOut(layer)),
      { discard: true }
    )
  // First, because it needs no space on the disk.
  yield* takeOut(stray)
  const marked = new Set<string>()
  for (const id of unusedLayers(transaction, recorded)) if (yield* isMarked(root, id)) marked.add(id)
  const unused = new Set(unusedLayers(transaction, marked))
  if (unused.size > 0) yield* transaction.saveLayers(transaction.layers.filter((layer) => !unused.has(layer.id)))
  yield* takeOut([...unused])
  // A layer whose maker died before it wrote down the short name leaves that one behind.
  const left = present.filter((id) => !stray.includes(id) && !unused.has(id))
  yield* removeStrayLinks(root, new Set(left))
})

/** Whoever makes a layer's directory or its short name holds the lock. */
const removeStrayLinks = Effect.fnUntraced(
  function* (root: Root, present: ReadonlySet<string>) {
    const files = yield* Files
    for (const { path, layer } of yield* shortNames(files, root.paths.links)) {
      if (!present.has(layer)) yield* files.removeFile(path)
    }
  },
  Effect.mapError(ioError("repair", "short names of layers"))
)

/** Documents of images that were never recorded, and temporary files of replacements that never happened. */
const strayFiles = Effect.fnUntraced(
  function* (root: Root, transaction: StoreTransaction) {
    const files = yield* Files
    const { imagesDirectory, layersDirectory, containersDirectory, runLayersDirectory } = root.paths
    const recorded = new Set(transaction.images.map((image) => image.id))
    const remove = Effect.fnUntraced(function* (directory: string, isStray: (name: string) => boolean) {
      for (const name of yield* files.readDirectory(directory)) {
        if (isStray(name)) yield* files.removeTree(posix.join(directory, name))
      }
    })
    // Everybody who makes an image's directory holds the lock until its record is saved.
    const isStrayImage = (name: string) => isId(name) && !recorded.has(name)
    yield* remove(imagesDirectory, (name) => isTemporaryName(name) || isStrayImage(name))
    yield* remove(layersDirectory, isTemporaryName)
    yield* remove(containersDirectory, isTemporaryName)
    yield* remove(runLayersDirectory, isTemporaryName)
    for (const id of yield* files.readDirectory(imagesDirectory)) {
      if (recorded.has(id)) yield* remove(posix.join(imagesDirectory, id), isTemporaryName)
    }
  },
  Effect.mapError(ioError("repair", "stray files"))
)

export const repair = Effect.fn("StoreRoot.repair")(function* (root: Root, own: string) {
  const files = yield* Files
  yield* root.exclusive((transaction) =>
    Effect.andThen(strayFiles(root, transaction), strayIn(root, transaction)).pipe(Effect.provideService(Files, files))
  )
  yield* root.trash.empty
  yield* staleStaging(root, own)
})
