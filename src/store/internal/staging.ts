/** Layers on their way in: unpacked and verified in the staging area, claimed by a commit or removed with their scope. */
import { Effect, type Scope } from "effect"
import { posix } from "node:path"
import type { Files } from "../../linux/Files.ts"
import type { LayerUnpacker, UnpackedLayer, UnpackError } from "../../linux/LayerUnpacker.ts"
import type { LayerSource, StagedLayer } from "../ImageStore.ts"
import { DigestMismatch, ioError, type StoreError } from "../StoreError.ts"
import { stagedTarSplitPath } from "./paths.ts"
import type { StoreRoot } from "./StoreRoot.ts"

export interface Staged {
  /** Holds `diff`. */
  readonly directory: string
  readonly tarSplit: string
  readonly source: Pick<LayerSource<never>, "compression">
  readonly unpacked: UnpackedLayer
}

/** Permissions of a layer's root where no parent says otherwise (containers/storage, overlay driver). */
export const ROOT_MODE = 0o555

export interface Staging {
  readonly stage: <E>(source: LayerSource<E>) => Effect.Effect<StagedLayer, StoreError | UnpackError | E, Scope.Scope>
  /** The staged layer while its scope is open and no commit has taken it. */
  readonly find: (layer: StagedLayer) => Staged | undefined
  /** Its directory has been moved into the store: closing the scope removes nothing any more. */
  readonly taken: (layer: StagedLayer) => void
}

const verify = (object: string, expected: string, actual: string) =>
  expected === actual ? Effect.void : Effect.fail(new DigestMismatch({ object, expected, actual }))

export const makeStaging = (dependencies: {
  readonly files: Files["Service"]
  readonly unpacker: LayerUnpacker["Service"]
  readonly root: StoreRoot["Service"]
}): Staging => {
  const { files, unpacker, root } = dependencies
  const staged = new Map<string, Staged>()

  const directoryFor = (diffId: string) =>
    Effect.acquireRelease(
      Effect.tap(root.stagingPath, (directory) =>
        files.makeDirectory(directory, { mode: 0o700 }).pipe(Effect.mapError(ioError("stage layer", diffId)))
      ),
      (directory) =>
        Effect.suspend(() => {
          staged.delete(directory)
          return root.trash.add(stagedTarSplitPath(root.paths, directory))
        }).pipe(Effect.andThen(root.trash.add(directory)), Effect.andThen(root.trash.empty))
    )

  const stage = Effect.fn("ImageStore.stageLayer")(function* <E>(source: LayerSource<E>) {
    const { diffId, blobDigest, blobSize, blob, compression } = source
    const directory = yield* directoryFor(diffId)
    const diff = posix.join(directory, "diff")
    const tarSplit = stagedTarSplitPath(root.paths, directory)
    yield* files.makeDirectory(diff, { mode: ROOT_MODE }).pipe(Effect.mapError(ioError("stage layer", diffId)))
    const unpacked = yield* unpacker.unpack({
      blob,
      compression,
      directory: diff,
      tarSplitPath: tarSplit,
      blobSize
    })
    yield* verify(`blob of layer ${diffId}`, blobDigest, unpacked.blobDigest)
    yield* verify(`content of layer ${diffId}`, diffId, unpacked.diffId)
    staged.set(directory, { directory, tarSplit, source: { compression }, unpacked })
    return { diffId, blobDigest, token: directory }
  })

  return {
    stage,
    find: (layer) => staged.get(layer.token),
    taken: (layer) => {
      staged.delete(layer.token)
    }
  }
}
