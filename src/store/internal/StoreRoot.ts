/**
 * What the stores of images and containers share: the directories, the record files, one critical section over all of
 * them, the staging area, and the repair of what a crash left behind.
 */
import { Context, Effect, Layer, Random, Result } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import { Locks } from "../../linux/Locks.ts"
import { Mounts } from "../../linux/Mounts.ts"
import { ioError, type StoreError, StoreIo } from "../StoreError.ts"
import { StoreSettings } from "../StoreSettings.ts"
import { type LayerDirectories, makeLayerDirectories } from "./layerDirectories.ts"
import { makeStoreLock } from "./lockfile.ts"
import { storePaths, type StorePaths } from "./paths.ts"
import { makeRecordFile, type RecordFile, type StagedRecords } from "./recordFile.ts"
import {
  containerCodec,
  type ContainerRecord,
  imageCodec,
  type ImageRecord,
  layerCodec,
  type LayerRecord
} from "./records.ts"
import { repair } from "./repair.ts"
import { makeRetried } from "./retried.ts"
import { makeTrash, type Trash } from "./trash.ts"

/** All records as one moment shows them. Volatile ones belong to other programs: read, never written. */
export interface StoreRecords {
  readonly layers: ReadonlyArray<LayerRecord>
  readonly volatileLayers: ReadonlyArray<LayerRecord>
  readonly images: ReadonlyArray<ImageRecord>
  readonly containers: ReadonlyArray<ContainerRecord>
  readonly volatileContainers: ReadonlyArray<ContainerRecord>
}

/** The records inside the critical section, and the ways to replace them. */
export interface StoreTransaction extends StoreRecords {
  readonly saveLayers: (layers: ReadonlyArray<LayerRecord>) => Effect.Effect<void, StoreError>
  readonly saveImages: (images: ReadonlyArray<ImageRecord>) => Effect.Effect<void, StoreError>
  /**
   * Layers and containers that change together: both files are written at a time, then replaced in the order given.
   */
  readonly saveInOrder: (changes: ReadonlyArray<LayerOrContainerChange>) => Effect.Effect<void, StoreError>
}

export type LayerOrContainerChange =
  | { readonly layers: ReadonlyArray<LayerRecord> }
  | { readonly containers: ReadonlyArray<ContainerRecord> }

export class StoreRoot extends Context.Service<
  StoreRoot,
  {
    readonly paths: StorePaths
    readonly directories: LayerDirectories
    /** Without locks: each file is whole, two files may be of neighbouring moments. */
    readonly records: Effect.Effect<StoreRecords, StoreError>
    /**
     * Holds the write locks of layers, images and containers, in the order in which containers/storage takes them.
     * Waiting can be interrupted, the body cannot: it is short, and half of it would be a damaged store. Where the file
     * system refuses a part of it, a repair follows: bodies only have to keep the order in which nothing is named that
     * is not there, and need not undo what they began.
     */
    readonly exclusive: <A, E>(
      body: (transaction: StoreTransaction) => Effect.Effect<A, E>
    ) => Effect.Effect<A, E | StoreError>
    /** A fresh path in this process's part of the staging area. Whoever makes something there gives it to `trash`. */
    readonly stagingPath: Effect.Effect<string>
    readonly trash: Trash
  }
>()("cricket/store/internal/StoreRoot") {
  static readonly layer = Layer.effect(
    StoreRoot,
    Effect.gen(function* () {
      const settings = yield* StoreSettings
      const files = yield* Files
      const locks = yield* Locks
      const mounts = yield* Mounts
      const paths = storePaths(settings.graphRoot, settings.runRoot)
      yield* makeDirectories(files, paths)

      const file = {
        layers: yield* makeRecordFile(posix.join(paths.layersDirectory, "layers.json"), layerCodec),
        volatileLayers: yield* makeRecordFile(posix.join(paths.layersDirectory, "volatile-layers.json"), layerCodec),
        images: yield* makeRecordFile(posix.join(paths.imagesDirectory, "images.json"), imageCodec),
        containers: yield* makeRecordFile(posix.join(paths.containersDirectory, "containers.json"), containerCodec),
        volatileContainers: yield* makeRecordFile(
          posix.join(paths.containersDirectory, "volatile-containers.json"),
          containerCodec
        )
      }
      const lock = {
        layers: yield* makeStoreLock(posix.join(paths.layersDirectory, "layers.lock")),
        images: yield* makeStoreLock(posix.join(paths.imagesDirectory, "images.lock")),
        containers: yield* makeStoreLock(posix.join(paths.containersDirectory, "containers.lock"))
      }

      const known = <R>(from: RecordFile<R>) => Effect.map(from.load, (records) => records.known)
      const records = Effect.all({
        layers: known(file.layers),
        volatileLayers: known(file.volatileLayers),
        images: known(file.images),
        containers: known(file.containers),
        volatileContainers: known(file.volatileContainers)
      })

      const saving =
        <R>(to: RecordFile<R>, touch: Effect.Effect<void, StoreIo>) =>
        (records: ReadonlyArray<R>) =>
          Effect.andThen(to.save(records), touch)
      const exclusive = <A, E>(body: (transaction: StoreTransaction) => Effect.Effect<A, E>) =>
        lock.layers.hold("write", (touchLayers) =>
          lock.images.hold("write", (touchImages) =>
            lock.containers.hold("write", (touchContainers) =>
              Effect.uninterruptible(
                Effect.gen(function* () {
                  const saveLayers = saving(file.layers, touchLayers)
                  const before = yield* records
                  const layers = yield* dropIncomplete(before.layers, directories, saveLayers)
                  return yield* body({
                    ...before,
                    layers,
                    saveLayers,
                    saveImages: saving(file.images, touchImages),
                    saveInOrder: (changes) =>
                      replaceInOrder(
                        changes.map((change) =>
                          "layers" in change
                            ? { staging: file.layers.stage(change.layers), touch: touchLayers }
                            : { staging: file.containers.stage(change.containers), touch: touchContainers }
                        )
                      )
                  })
                }).pipe(Effect.tapError((error) => (error instanceof StoreIo ? repairs.request : Effect.void)))
              )
            )
          )
        )

      // Held as long as this process lives: it tells a later one whether what lies in the directory is still in use.
      const own = posix.join(paths.staging, yield* randomHex)
      yield* Effect.acquireRelease(
        files.makeDirectory(own, { mode: 0o700, recursive: true }).pipe(Effect.mapError(ioError("make", own))),
        () => Effect.ignore(files.removeTree(own))
      )
      const ownLock = posix.join(own, "lock")
      yield* locks.acquire(ownLock, "write").pipe(Effect.mapError(ioError("lock", ownLock)))
      const stagingPath = Effect.map(randomHex, (name) => posix.join(own, name))

      const trash = yield* makeTrash(files)
      const directories = makeLayerDirectories({ files, mounts, paths, stagingPath, trash })
      const root = StoreRoot.of({ paths, directories, records, exclusive, stagingPath, trash })
      // First in every queue for the locks, so nothing is changed before it is done; reads need not wait.
      const repairing = repair(root, own).pipe(Effect.provideService(Files, files), Effect.provideService(Locks, locks))
      const repairs = yield* makeRetried("repair of the layer store", repairing, { atOnce: true })
      return root
    })
  )
}

/** When one cannot be written, none is replaced. */
const replaceInOrder = Effect.fnUntraced(function* (
  changes: ReadonlyArray<{
    readonly staging: Effect.Effect<StagedRecords, StoreIo>
    readonly touch: Effect.Effect<void, StoreIo>
  }>
) {
  const staged = yield* Effect.forEach(changes, ({ staging }) => Effect.result(staging), { concurrency: 2 })
  const failure = staged.find(Result.isFailure)
  if (failure !== undefined) {
    yield* Effect.forEach(staged.filter(Result.isSuccess), ({ success }) => success.discard, { discard: true })
    return yield* failure.failure
  }
  const commits = staged.filter(Result.isSuccess)
  for (const [index, { touch }] of changes.entries()) {
    const rest = commits.slice(index + 1)
    yield* (commits[index]?.success.commit ?? Effect.void).pipe(
      Effect.onError(() => Effect.forEach(rest, ({ success }) => success.discard, { discard: true })),
      Effect.andThen(touch)
    )
  }
})

const randomHex: Effect.Effect<string> = Effect.map(
  Effect.forEach([1, 2, 3, 4], () => Random.nextIntBetween(0, 0xffff_ffff)),
  (numbers) => numbers.map((number) => number.toString(16).padStart(8, "0")).join("")
)

const makeDirectories = Effect.fnUntraced(function* (
  files: Files["Service"],
  paths: StorePaths
): Effect.fn.Return<void, StoreIo> {
  const make = (path: string): Effect.Effect<void, StoreIo> =>
    files
      .makeDirectory(path, { mode: 0o700, recursive: true })
      .pipe(Effect.mapError((cause: LinuxError) => ioError("make", path)(cause)))
  yield* Effect.forEach(
    [
      paths.links,
      paths.layersDirectory,
      paths.imagesDirectory,
      paths.containersDirectory,
      paths.staging,
      paths.runLayersDirectory,
      paths.runContainersDirectory
    ],
    make,
    { discard: true }
  )
})

/** What containers/storage asks of everyone who takes the write lock: layers that were never finished go. */
const dropIncomplete = Effect.fnUntraced(function* (
  layers: ReadonlyArray<LayerRecord>,
  directories: LayerDirectories,
  saveLayers: StoreTransaction["saveLayers"]
) {
  const incomplete = layers.filter((layer) => layer.incomplete)
  if (incomplete.length === 0) return layers
  const complete = layers.filter((layer) => !layer.incomplete)
  yield* Effect.forEach(incomplete, (layer) => directories.mark(layer.id), { discard: true })
  yield* saveLayers(complete)
  for (const layer of incomplete) {
    yield* Effect.logWarning("removing a layer that was never finished", { layer: layer.id })
    yield* directories.takeOut(layer.id)
  }
  return complete
})
