/** Overlay mounts of containers, counted in mountpoints.json as containers/storage does, so podman leaves them alone. */
import { Effect } from "effect"
import { posix } from "node:path"
import { isTemporaryName } from "../../linux/atomicWrite.ts"
import { Files } from "../../linux/Files.ts"
import { isUnmounted } from "../../linux/LinuxError.ts"
import { Mounts, type OverlayRequest } from "../../linux/Mounts.ts"
import { ioError, LayersNotMappable, type StoreError, TooManyLayers } from "../StoreError.ts"
import { makeStoreLock } from "./lockfile.ts"
import { layerDirectory } from "./paths.ts"
import { makeRecordFile } from "./recordFile.ts"
import { changeRecord, mountCodec, newRecord } from "./records.ts"
import { makeRetried } from "./retried.ts"
import type { StoreRoot } from "./StoreRoot.ts"

export interface LayerMount {
  /** Of the container, for messages. */
  readonly id: string
  readonly layerId: string
  readonly flags: OverlayRequest["flags"]
  /** Maps the ids of the layers below; the layer itself was made for it. */
  readonly userNamespace: string | undefined
}

export interface OverlayMounts {
  /** The mount point; the same again while it is mounted. */
  readonly mount: (request: LayerMount) => Effect.Effect<string, StoreError>
  /** Succeeds when it is not mounted. */
  readonly unmount: (layerId: string) => Effect.Effect<void, StoreError>
}

export const makeOverlayMounts = Effect.fnUntraced(function* (root: StoreRoot["Service"]) {
  const files = yield* Files
  const mounts = yield* Mounts
  const { paths, directories } = root
  const file = yield* makeRecordFile(posix.join(paths.runLayersDirectory, "mountpoints.json"), mountCodec, {
    durable: false
  })
  // Held over the mount itself: podman takes it before it gives up its mount of `overlay/`, and ours with it.
  const storeLock = yield* makeStoreLock(posix.join(paths.graphRoot, "storage.lock"))
  const mountsLock = yield* makeStoreLock(posix.join(paths.runLayersDirectory, "mountpoints.lock"))
  type Touch = Effect.Effect<void, StoreError>
  const exclusive = <A, E>(body: (touch: Touch, touchStore: Touch) => Effect.Effect<A, E>) =>
    storeLock.hold("write", (touchStore) =>
      mountsLock.hold("write", (touch) => Effect.uninterruptible(body(touch, touchStore)))
    )

  /** Of the store's mounts: whether one is at this place. */
  const findMounts = mounts.list(paths.overlay).pipe(
    Effect.map((entries) => (target: string) => entries.some((entry) => entry.target === target)),
    Effect.mapError(ioError("find mounts below", paths.overlay))
  )

  /** `home` is where the layers below are looked up. */
  const layersOf = Effect.fnUntraced(function* (layerId: string, home: string) {
    const directory = layerDirectory(paths, layerId)
    const lowers = yield* directories.lowersOf(layerId)
    const lower = lowers.length === 0 ? [posix.join(directory, "empty")] : lowers.map((name) => posix.join(home, name))
    return { lower, upper: posix.join(directory, "diff"), work: posix.join(directory, "work") }
  })

  const unmountIfMounted = (target: string) =>
    mounts.unmount(target, { detach: true }).pipe(
      Effect.catchIf(isUnmounted, () => Effect.void),
      Effect.mapError(ioError("unmount", target))
    )

  // Until it is known to be gone: an earlier process may have left it.
  let mappedStays = true
  const hideMapped = Effect.andThen(
    unmountIfMounted(paths.mapped),
    Effect.sync(() => (mappedStays = false))
  )
  /**
   * Shows all layers with mapped ids in one mount while `use` runs. The overlay keeps what it needs of it, so it goes at
   * once, and the lock that is held lets one place serve everybody.
   */
  const withMapped = <A>(id: string, userNamespace: string, use: Effect.Effect<A, StoreError>) =>
    Effect.gen(function* () {
      if (mappedStays) yield* hideMapped
      mappedStays = true
      // Here and not with the store's other directories: who runs no user namespaces has none that podman does not know.
      yield* files
        .makeDirectory(paths.mapped, { mode: 0o700, recursive: true })
        .pipe(Effect.mapError(ioError("make", paths.mapped)))
      yield* mounts
        .bindMapped({ source: paths.overlay, target: paths.mapped, userNamespace })
        .pipe(
          Effect.mapError((error) =>
            error.code === "EINVAL"
              ? new LayersNotMappable({ id, path: paths.overlay })
              : ioError("map ids of the layers of container", id)(error)
          )
        )
      const used = yield* Effect.result(use)
      yield* hideMapped
      return yield* Effect.fromResult(used)
    })

  /**
   * containers/storage binds `overlay/` over itself, private, before its first mount. Were ours made without, podman's
   * bind would hide them; and as long as mounts are counted it leaves the bind alone.
   */
  const makeHome = Effect.fnUntraced(function* () {
    const target = paths.overlay
    const bind = { source: target, target, type: "", data: "" }
    yield* Effect.andThen(
      mounts.mount({ ...bind, flags: ["bind"] }),
      mounts.mount({ ...bind, flags: ["private"] })
    ).pipe(Effect.mapError(ioError("bind", target)))
  })

  const mountLayers = Effect.fnUntraced(function* ({ id, layerId, flags, userNamespace }: LayerMount, target: string) {
    const layers = yield* layersOf(layerId, userNamespace === undefined ? paths.overlay : paths.mapped)
    const mounting = mounts
      .mountOverlay({ target, ...layers, flags })
      .pipe(
        Effect.mapError((error) =>
          error.code === "E2BIG"
            ? new TooManyLayers({ id, layers: layers.lower.length })
            : ioError("mount layer of container", id)(error)
        )
      )
    yield* userNamespace === undefined ? mounting : withMapped(id, userNamespace, mounting)
  })

  const mount = Effect.fnUntraced(function* (request: LayerMount) {
    const { layerId } = request
    const target = posix.join(layerDirectory(paths, layerId), "merged")
    yield* exclusive(
      Effect.fnUntraced(function* (touch) {
        const { known } = yield* file.load
        const record = known.find(({ id }) => id === layerId)
        const isMounted = yield* findMounts
        const mounted = isMounted(target)
        if (mounted && record !== undefined && record.count > 0) return
        if (!mounted) {
          if (!isMounted(paths.overlay)) yield* makeHome()
          yield* mountLayers(request, target)
        }
        // The count of a mount that a reboot or a crash took away means nothing any more.
        const fields = { id: layerId, path: target, count: 1 }
        const next = record === undefined ? newRecord(mountCodec, fields) : changeRecord(mountCodec, record, fields)
        yield* file.save([...known.filter(({ id }) => id !== layerId), next])
        yield* touch
      })
    )
    return target
  })

  const unmount = (layerId: string) =>
    exclusive(
      Effect.fnUntraced(function* (touch) {
        yield* unmountIfMounted(posix.join(layerDirectory(paths, layerId), "merged"))
        if (mappedStays) yield* hideMapped
        const { known } = yield* file.load
        const left = known.filter(({ id }) => id !== layerId)
        if (left.length === known.length) return
        yield* file.save(left)
        yield* touch
      })
    )

  /** When nothing is mounted the bind goes too, as when podman ends; the stamp tells running programs. */
  const giveUpHome = exclusive((_touch, touchStore) =>
    Effect.gen(function* () {
      const { known } = yield* file.load
      if (known.length > 0 || !(yield* findMounts)(paths.overlay)) return
      yield* mounts.unmount(paths.overlay, { detach: true }).pipe(Effect.mapError(ioError("unmount", paths.overlay)))
      yield* touchStore
    })
  )
  const removeTemporaryFiles = Effect.gen(function* () {
    const names = yield* files.readDirectory(paths.runLayersDirectory)
    for (const name of names.filter(isTemporaryName)) {
      yield* files.removeFile(posix.join(paths.runLayersDirectory, name))
    }
  }).pipe(Effect.mapError(ioError("remove temporary files in", paths.runLayersDirectory)))
  const sweep = exclusive(() =>
    Effect.gen(function* () {
      yield* hideMapped
      yield* removeTemporaryFiles
    })
  )
  yield* makeRetried("repair of the mounts' records", sweep, { atOnce: true })
  yield* Effect.addFinalizer(() =>
    giveUpHome.pipe(Effect.catchCause((cause) => Effect.logWarning(`cannot unmount ${paths.overlay}`, cause)))
  )

  return { mount, unmount } satisfies OverlayMounts
})
