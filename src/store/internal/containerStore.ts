/** The container store: records, writable layers, their mounts and directories. */
import { Cause, DateTime, Effect } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { type IdMapping, toHost, type UserNamespace } from "../../linux/IdMapping.ts"
import type { OverlayRequest } from "../../linux/Mounts.ts"
import { makeSearchable } from "../../linux/searchable.ts"
import { isId } from "../../model/Id.ts"
import type { ContainerStore, NewContainerLayer, StoredContainer } from "../ContainerStore.ts"
import { ContainerNameInUse, ContainerNotFound, ImageNotFound, ioError, LayerMissing } from "../StoreError.ts"
import { makeOverlayMounts } from "./overlayMount.ts"
import { containerLayerId, layerDirectory } from "./paths.ts"
import { containerCodec, type ContainerRecord, layerCodec, newRecord } from "./records.ts"
import { epochMillis } from "./snapshot.ts"
import { ROOT_MODE } from "./staging.ts"
import { type LayerOrContainerChange, StoreRoot } from "./StoreRoot.ts"

const stored = (record: ContainerRecord): StoredContainer => ({
  id: record.id,
  names: record.names,
  imageId: record.image,
  layerId: record.layer,
  metadata: record.metadata,
  createdMs: epochMillis(record.created)
})

/** Ranges as containers/storage writes them (idtools.IDMap). */
const idMaps = (mappings: ReadonlyArray<IdMapping>) =>
  mappings.map(({ containerId, hostId, length }) => ({ container_id: containerId, host_id: hostId, size: length }))

const mapsOf = ({ ids }: UserNamespace) => ({ uidmap: idMaps(ids.uids), gidmap: idMaps(ids.gids) })

export const makeContainerStore = Effect.gen(function* () {
  const root = yield* StoreRoot
  const files = yield* Files
  const overlay = yield* makeOverlayMounts(root)
  const { paths, directories } = root
  const directory = (id: string) => posix.join(paths.containersDirectory, id, "userdata")
  const runDirectory = (id: string) => posix.join(paths.runContainersDirectory, id, "userdata")

  let containers: ReadonlyArray<StoredContainer> = []
  let seen: ReadonlyArray<ContainerRecord> = []
  let begun = 0
  let shown = 0
  // A look that another one has overtaken may be from before what that one shows: a container that was just made.
  const refresh = Effect.suspend(() => {
    const turn = ++begun
    return Effect.map(root.records, (records) => {
      if (turn < shown) return
      shown = turn
      if (records.containers === seen) return
      seen = records.containers
      containers = seen.map(stored)
    })
  })
  const refreshOrLog = refresh.pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.logWarning("containers.json cannot be read", cause)
    )
  )
  yield* refreshOrLog
  // Other programs may add and remove containers, too rarely for a watch.
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("2 seconds"), refreshOrLog)), {
    startImmediately: true
  })

  /**
   * An empty writable layer whose root looks like the root of the layer below, to those who see it: in a user
   * namespace it belongs to the same ids, who can search its directory.
   */
  const stageLayer = Effect.fnUntraced(function* (
    staged: string,
    parent: string | undefined,
    userNamespace: UserNamespace | undefined
  ) {
    const diff = posix.join(staged, "diff")
    yield* files.makeDirectory(staged, { mode: userNamespace === undefined ? 0o700 : 0o711 })
    const below =
      parent === undefined
        ? { mode: ROOT_MODE, uid: 0, gid: 0 }
        : yield* files.stat(posix.join(layerDirectory(paths, parent), "diff"))
    yield* files.makeDirectory(diff, { mode: below.mode })
    const uid = userNamespace === undefined ? below.uid : (toHost(userNamespace.ids.uids, below.uid) ?? below.uid)
    const gid = userNamespace === undefined ? below.gid : (toHost(userNamespace.ids.gids, below.gid) ?? below.gid)
    if (uid !== 0 || gid !== 0) yield* files.chown(diff, uid, gid)
  })

  /** The layer's record first, then the container's: a layer alone is what the repair at the next start removes. */
  const add = (request: NewContainerLayer) =>
    root.exclusive(
      Effect.fnUntraced(function* (transaction) {
        const { id, name, imageId, metadata, userNamespace } = request
        const present = transaction.containers.find((container) => container.id === id)
        if (present !== undefined) return present
        const holder = [...transaction.containers, ...transaction.volatileContainers].find(({ names }) =>
          names.includes(name)
        )
        if (holder !== undefined) return yield* new ContainerNameInUse({ id, name, holder: holder.id })
        const image = transaction.images.find((record) => record.id === imageId)
        if (image === undefined) return yield* new ImageNotFound({ imageId })
        const parent = image.layer
        if (parent !== undefined && !transaction.layers.some((layer) => layer.id === parent)) {
          return yield* new LayerMissing({ layer: parent, imageId })
        }
        const layer = containerLayerId(id)
        const created = DateTime.formatIso(yield* DateTime.now)
        const staged = yield* root.stagingPath
        yield* stageLayer(staged, parent, userNamespace).pipe(
          Effect.mapError(ioError("make layer of container", id)),
          Effect.andThen(directories.moveIn({ staged, id: layer, parent, durable: false })),
          Effect.onError(() => root.trash.add(staged))
        )
        const layerRecord = newRecord(layerCodec, {
          id: layer,
          names: [`${name}-layer`],
          ...(parent === undefined ? {} : { parent }),
          ...(userNamespace === undefined ? {} : mapsOf(userNamespace)),
          created
        })
        const record = newRecord(containerCodec, {
          id,
          names: [name],
          image: imageId,
          layer,
          metadata,
          created,
          ...(userNamespace === undefined ? {} : mapsOf(userNamespace)),
          flags: { MountLabel: "", ProcessLabel: "" }
        })
        // A retry after a crash may find the layer's record of the first attempt.
        const layers = transaction.layers.filter((other) => other.id !== layer)
        yield* transaction.saveInOrder([
          { layers: [...layers, layerRecord] },
          { containers: [...transaction.containers, record] }
        ])
        return record
      })
    )

  const create = Effect.fn("ContainerStore.create")(function* (request: NewContainerLayer) {
    if (!isId(request.id)) return yield* new ContainerNotFound({ id: request.id })
    const record = yield* add(request)
    yield* Effect.forEach(
      [directory(request.id), runDirectory(request.id)],
      (path) => files.makeDirectory(path, { mode: 0o700, recursive: true }),
      { discard: true }
    ).pipe(Effect.mapError(ioError("make directories of container", request.id)))
    if (request.userNamespace !== undefined) {
      yield* makeSearchable(files, paths.overlay).pipe(Effect.mapError(ioError("open the way to", paths.overlay)))
    }
    yield* refresh
    return stored(record)
  })

  const mountWith = (flags: OverlayRequest["flags"]) =>
    Effect.fnUntraced(function* (id: string, userNamespace?: UserNamespace) {
      const container = containers.find((candidate) => candidate.id === id)
      if (container === undefined) return yield* new ContainerNotFound({ id })
      return yield* overlay.mount({ id, layerId: container.layerId, flags, userNamespace: userNamespace?.path })
    })
  const mount = Effect.fn("ContainerStore.mount")(mountWith(["nodev"]))
  const mountVolume = Effect.fn("ContainerStore.mountVolume")(mountWith(["ro", "nosuid", "nodev"]))

  const layerOf = (id: string): string =>
    containers.find((candidate) => candidate.id === id)?.layerId ?? containerLayerId(id)

  const unmount = Effect.fn("ContainerStore.unmount")(function* (id: string) {
    yield* overlay.unmount(layerOf(id))
  })

  /** The layer goes even where its container's record is gone already, or was never written. */
  const takeOut = (id: string) =>
    root.exclusive(
      Effect.fnUntraced(function* (transaction) {
        const record = transaction.containers.find((container) => container.id === id)
        const layer = record?.layer ?? containerLayerId(id)
        yield* directories.mark(layer)
        const changes: Array<LayerOrContainerChange> = []
        if (record !== undefined) {
          changes.push({ containers: transaction.containers.filter((container) => container.id !== id) })
        }
        if (transaction.layers.some((other) => other.id === layer)) {
          changes.push({ layers: transaction.layers.filter((other) => other.id !== layer) })
        }
        yield* transaction.saveInOrder(changes)
        yield* directories.takeOut(layer)
      })
    )

  const remove = Effect.fn("ContainerStore.remove")(function* (id: string) {
    if (!isId(id)) return
    yield* overlay.unmount(layerOf(id))
    // Before the record: while it is there, whoever lists the containers finds what is left to remove.
    yield* Effect.forEach(
      [posix.join(paths.containersDirectory, id), posix.join(paths.runContainersDirectory, id)],
      (path) => files.removeTree(path),
      { discard: true }
    ).pipe(Effect.mapError(ioError("remove directories of container", id)))
    yield* takeOut(id)
    yield* root.trash.empty
    yield* refresh
  })

  const usage = Effect.fn("ContainerStore.usage")(function* (id: string) {
    const container = containers.find((candidate) => candidate.id === id)
    if (container === undefined) return yield* new ContainerNotFound({ id })
    return yield* files
      .diskUsage(posix.join(layerDirectory(paths, container.layerId), "diff"))
      .pipe(Effect.mapError(ioError("measure container", id)))
  })

  return {
    list: Effect.sync(() => containers),
    create,
    mount,
    mountVolume,
    unmount,
    remove,
    directory,
    runDirectory,
    mountpoint: paths.imagesDirectory,
    usage
  } satisfies ContainerStore["Service"]
})
