/** Gives back what a pod or container holds whose record cannot be read: everything it can have is named by its id. */
import { Effect } from "effect"
import { isId } from "../model/Id.ts"
import { RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { volumeOwner } from "./imageVolumes.ts"
import { podDirectory, podNamespaces } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"
import { type DamagedRecord, Records } from "./Records.ts"
import { Releases } from "./Releases.ts"
import type { Resource } from "./Resource.ts"

const possibleRows = Effect.fnUntraced(function* ({ kind, id }: DamagedRecord) {
  const settings = yield* PodSettings
  const handlers = yield* (yield* RuntimeHandlers).list
  const directory = podDirectory(settings.runDirectory, id)
  const store = yield* ContainerStore
  const volumes = (yield* store.list).filter(({ metadata }) => volumeOwner(metadata) === id)
  const runtime: ReadonlyArray<Resource> = [
    { _tag: "Layer", containerId: id },
    ...volumes.map((volume) => ({ _tag: "ImageVolume" as const, volumeId: volume.id, containerId: id })),
    ...handlers.map(({ name }) => ({
      _tag: "Runtime" as const,
      containerId: id,
      handler: name,
      bundle: kind === "pods" ? `${directory}/pause` : store.runDirectory(id),
      cgroup: ""
    }))
  ]
  if (kind === "containers") return runtime
  const pins = podNamespaces(settings.namespacesDirectory, {
    id,
    namespaces: { network: "pod", ipc: "pod", pid: "container", user: { uids: [], gids: [] } }
  })
  const attachment = {
    podId: id,
    podName: "",
    podNamespace: "",
    podUid: "",
    netnsPath: `${settings.namespacesDirectory}/netns/${id}`,
    interfaceName: "eth0",
    portMappings: [],
    annotations: {}
  }
  const pod: ReadonlyArray<Resource> = [
    { _tag: "Directory", path: directory },
    { _tag: "Mount", path: `${directory}/shm` },
    ...pins.map(({ path }) => ({ _tag: "Namespace" as const, path })),
    { _tag: "Network", attachment }
  ]
  return [...pod, ...runtime]
})

/** The file is kept, renamed, for people to look at. */
export const salvage = Effect.fn("salvage")(function* (record: DamagedRecord) {
  const records = yield* Records
  const releases = yield* Releases
  // Made into paths, another name could be that of something else.
  if (!isId(record.id)) {
    yield* Effect.logError(`${record.path} is no record of Cricket's: it is put aside as ${record.path}.bad`)
    return yield* releases.insist(`putting aside of ${record.path}`, records.setAside(record))
  }
  yield* Effect.logError(
    `the record ${record.path} is damaged (${record.reason}); what it names is given back, the file is kept as ${record.path}.bad`
  )
  const rows = yield* possibleRows(record)
  yield* releases.insist(
    `release of damaged ${record.id}`,
    Effect.andThen(releases.release(record.id, rows), records.setAside(record))
  )
})
