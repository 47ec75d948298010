/** The directories of layers below `overlay/`: made in the staging area, moved in whole, moved out whole. */
import { Effect, Option, Random } from "effect"
import { posix } from "node:path"
import type { Files } from "../../linux/Files.ts"
import { isGone, isUnmounted, type LinuxError } from "../../linux/LinuxError.ts"
import type { Mounts } from "../../linux/Mounts.ts"
import { ioError, type StoreIo } from "../StoreError.ts"
import { layerDirectory, MARKER, type StorePaths, tarSplitPath } from "./paths.ts"
import type { Trash } from "./trash.ts"

export interface LayerDirectories {
  /**
   * Completes a staged directory that has its `diff`, and moves it to the layer's place. `durable` waits until all of
   * it is on the disk; without, that is left to the record's own sync.
   */
  readonly moveIn: (request: {
    readonly staged: string
    readonly id: string
    readonly parent: string | undefined
    readonly durable: boolean
  }) => Effect.Effect<void, StoreIo>
  /** Says that the layer may be removed whenever no record names it. Nothing happens where it has no directory. */
  readonly mark: (id: string) => Effect.Effect<void, StoreIo>
  /** Moves a layer out of everybody's sight and into the trash in one step; succeeds when it is gone. */
  readonly takeOut: (id: string) => Effect.Effect<void, StoreIo>
  /** The lower directories of a layer that stands on `parent`, nearest first, as `l/…` names. */
  readonly lowersAbove: (parent: string) => Effect.Effect<ReadonlyArray<string>, StoreIo>
  /** The lower directories that the layer was made with. */
  readonly lowersOf: (id: string) => Effect.Effect<ReadonlyArray<string>, StoreIo>
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
/** 26 characters: 130 random bits. */
const randomLink = Effect.map(Random.Random, (random) =>
  Array.from({ length: 26 }, () => alphabet[Math.floor(random.nextDoubleUnsafe() * alphabet.length)]).join("")
)

const linkTarget = (id: string): string => `../${id}/diff`

/** The layer that a short name leads to. */
const linkedLayer = (target: string): string | undefined => /^\.\.\/([0-9a-f]{64})\/diff$/.exec(target)?.[1]

/** Those in a directory that lead to a layer, whether or not there is one. What else lies there is nobody's business. */
export const shortNames = Effect.fnUntraced(function* (files: Files["Service"], directory: string) {
  const found: Array<{ readonly path: string; readonly layer: string }> = []
  for (const { name, kind } of yield* files.readDirectoryEntries(directory)) {
    if (kind !== "symlink") continue
    const path = posix.join(directory, name)
    const target = yield* files.readLink(path).pipe(Effect.catchIf(isGone, () => Effect.succeed("")))
    const layer = linkedLayer(target)
    if (layer !== undefined) found.push({ path, layer })
  }
  return found
})

export const makeLayerDirectories = (dependencies: {
  readonly files: Files["Service"]
  readonly mounts: Mounts["Service"]
  readonly paths: StorePaths
  readonly stagingPath: Effect.Effect<string>
  readonly trash: Trash
}): LayerDirectories => {
  const { files, mounts, paths, stagingPath, trash } = dependencies
  const unlessGone = <A>(effect: Effect.Effect<A, LinuxError>): Effect.Effect<A | undefined, LinuxError> =>
    effect.pipe(
      Effect.asSome,
      Effect.catchIf(isGone, () => Effect.succeedNone),
      Effect.map(Option.getOrUndefined)
    )
  const textOr = (path: string) => Effect.map(unlessGone(files.readText(path)), (text) => (text ?? "").trim())

  const writeSmall = (path: string, text: string, durable: boolean) =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = yield* files.open(path, "create", 0o644)
        yield* file.write(Buffer.from(text))
        if (durable) yield* file.sync
      })
    )

  const lowersOfIo = (id: string) =>
    Effect.map(textOr(posix.join(layerDirectory(paths, id), "lower")), (text) => (text === "" ? [] : text.split(":")))

  const lowersAboveIo = Effect.fnUntraced(function* (parent: string) {
    const link = (yield* files.readText(posix.join(layerDirectory(paths, parent), "link"))).trim()
    return [`l/${link}`, ...(yield* lowersOfIo(parent))]
  })

  /** The short names of a layer: what its `link` says, or, where a power loss left no text in it, all that lead to it. */
  const linksOf = Effect.fnUntraced(function* (id: string) {
    const text = yield* unlessGone(files.readText(posix.join(layerDirectory(paths, id), "link")))
    if (text === undefined) return []
    if (/^[A-Z2-7]+$/.test(text.trim())) return [posix.join(paths.links, text.trim())]
    const all = yield* shortNames(files, paths.links)
    return all.filter(({ layer }) => layer === id).map(({ path }) => path)
  })

  const takeOutIo = Effect.fnUntraced(function* (id: string) {
    const directory = layerDirectory(paths, id)
    for (const link of yield* linksOf(id)) yield* unlessGone(files.removeFile(link))
    yield* unlessGone(files.removeFile(tarSplitPath(paths, id)))
    // A mount left in it would make its removal fail for ever.
    yield* mounts
      .unmount(posix.join(directory, "merged"), { detach: true })
      .pipe(Effect.catchIf(isUnmounted, () => Effect.void))
    const place = yield* stagingPath
    yield* unlessGone(Effect.andThen(files.rename(directory, place), trash.add(place)))
  })

  const moveInIo = Effect.fnUntraced(function* (request: {
    readonly staged: string
    readonly id: string
    readonly parent: string | undefined
    readonly durable: boolean
  }) {
    const { staged, id, parent, durable } = request
    const link = yield* randomLink
    const lowers = parent === undefined ? [] : yield* lowersAboveIo(parent)
    const small: Array<readonly [name: string, text: string]> = [
      [MARKER, ""],
      ["link", link]
    ]
    if (lowers.length > 0) small.push(["lower", lowers.join(":")])
    yield* Effect.forEach(small, ([name, text]) => writeSmall(posix.join(staged, name), text, durable), {
      discard: true,
      concurrency: 3
    })
    for (const name of parent === undefined ? ["work", "merged", "empty"] : ["work", "merged"]) {
      yield* files.makeDirectory(posix.join(staged, name), { mode: 0o700 })
    }
    if (durable) yield* files.syncDirectory(staged)
    // A directory without a record is what a crash of some program left.
    yield* takeOutIo(id)
    yield* files.rename(staged, layerDirectory(paths, id))
    yield* files.symlink(linkTarget(id), posix.join(paths.links, link))
    if (durable)
      yield* Effect.all([files.syncDirectory(paths.overlay), files.syncDirectory(paths.links)], { concurrency: 2 })
  })

  return {
    moveIn: (request) => moveInIo(request).pipe(Effect.mapError(ioError("move in layer", request.id))),
    mark: (id) =>
      writeSmall(posix.join(layerDirectory(paths, id), MARKER), "", true).pipe(
        Effect.catchIf(
          (error) => isGone(error) || error.code === "EEXIST",
          () => Effect.void
        ),
        Effect.mapError(ioError("mark layer", id))
      ),
    takeOut: (id) => takeOutIo(id).pipe(Effect.mapError(ioError("take out layer", id))),
    lowersAbove: (parent) => lowersAboveIo(parent).pipe(Effect.mapError(ioError("read lower directories of", parent))),
    lowersOf: (id) => lowersOfIo(id).pipe(Effect.mapError(ioError("read lower directories of", id)))
  }
}
