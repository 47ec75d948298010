/** A daemon that starts on a host with records, layers and processes of an earlier one. */
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { CgroupLimits } from "../../../src/cgroup/CgroupLimits.ts"
import { Cgroups } from "../../../src/cgroup/Cgroups.ts"
import { Cni } from "../../../src/cni/Cni.ts"
import { Conmon } from "../../../src/conmon/Conmon.ts"
import { Files } from "../../../src/linux/Files.ts"
import { Mounts } from "../../../src/linux/Mounts.ts"
import { Namespaces } from "../../../src/linux/Namespaces.ts"
import { OciRuntime } from "../../../src/oci/OciRuntime.ts"
import { type RuntimeHandler, RuntimeHandlers } from "../../../src/oci/RuntimeHandlers.ts"
import type { ContainerRecord } from "../../../src/pod/ContainerRecord.ts"
import { Jobs } from "../../../src/pod/Jobs.ts"
import type { PodRecord } from "../../../src/pod/PodRecord.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import { type DamagedRecord, Records } from "../../../src/pod/Records.ts"
import { recover } from "../../../src/pod/recovery.ts"
import { Releases } from "../../../src/pod/Releases.ts"
import type { Resource } from "../../../src/pod/Resource.ts"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import { Host, podId } from "./host.ts"

export const network: Resource = {
  _tag: "Network",
  attachment: {
    podId,
    podName: "web",
    podNamespace: "default",
    podUid: "uid-1",
    netnsPath: `/run/netns/${podId}`,
    interfaceName: "eth0",
    portMappings: [],
    annotations: {}
  }
}

interface Found {
  readonly pods?: ReadonlyArray<PodRecord>
  readonly containers?: ReadonlyArray<ContainerRecord>
  readonly damaged?: ReadonlyArray<DamagedRecord>
  /** Layers in the store: id and its owner's metadata. */
  readonly stored?: ReadonlyArray<readonly [id: string, metadata: string]>
}

/** A host on which the daemon starts, with what its records say. */
const makeWorld = (found: Found) => {
  const host = new Host()
  const done: Array<string> = []
  const pinned = new Set([`/run/netns/${podId}`, `/run/utsns/${podId}`, `/run/ipcns/${podId}`])
  const runtimeStatus = { value: "running" as "created" | "running" | "stopped" }
  const note = (what: string) => Effect.sync(() => void done.push(what))
  for (const record of [...(found.pods ?? []), ...(found.containers ?? [])]) host.saved.set(record.id, record)
  const records = Layer.effect(
    Records,
    Effect.map(Records, (base) => ({
      ...base,
      loadAll: Effect.succeed({
        pods: found.pods ?? [],
        containers: found.containers ?? [],
        damaged: found.damaged ?? []
      }),
      setAside: ({ path }: DamagedRecord) => note(`aside ${path}`)
    }))
  ).pipe(Layer.provide(host.records))
  const conmon = Layer.effect(
    Conmon,
    Effect.map(Conmon, (base) => ({
      ...base,
      exits: () => Stream.never,
      cleanup: ({ containerId: id }: { readonly containerId: string }) => note(`monitor ${id.slice(0, 4)}`)
    }))
  ).pipe(Layer.provide(host.parts))
  const files = Layer.effect(
    Files,
    Effect.map(Files, (base) => ({
      ...base,
      makeDirectory: () => Effect.void,
      removeTree: (path: string) => note(`tree ${path}`)
    }))
  ).pipe(Layer.provide(host.seam))
  const handler = { name: "crun", path: "/usr/bin/crun" } as RuntimeHandler
  const parts = Layer.mergeAll(
    records,
    conmon,
    host.settings,
    Layer.mock(Mounts, { unmount: (path) => note(`unmount ${path}`) }),
    Layer.mock(Namespaces, {
      isPinned: (path) => Effect.sync(() => pinned.has(path)),
      unpin: (path) => note(`unpin ${path}`)
    }),
    Layer.mock(Cni, {
      del: ({ podId: id }) => note(`DEL ${id.slice(0, 4)}`),
      gc: (valid) => note(`GC ${valid.map(({ podId: id }) => id.slice(0, 4)).join()}`)
    }),
    Layer.mock(Cgroups, {
      version: 2,
      killAll: () => Effect.void,
      remove: () => Effect.void,
      removeIfEmpty: () => Effect.void
    }),
    Layer.mock(CgroupLimits, { write: (cgroup, values) => note(`limits ${cgroup} ${JSON.stringify(values)}`) }),
    Layer.mock(ContainerStore, {
      list: Effect.succeed(
        (found.stored ?? []).map(([id, metadata]) => ({
          id,
          metadata,
          names: [],
          imageId: "",
          layerId: "",
          createdMs: 0
        }))
      ),
      directory: (id) => `/store/${id}`,
      runDirectory: (id) => `/run/${id}`,
      mountpoint: "/store",
      remove: (id) => note(`layer ${id.slice(0, 4)}`)
    }),
    Layer.mock(OciRuntime, {
      delete: () => Effect.void,
      sweep: Effect.void,
      state: () => Effect.sync(() => ({ status: runtimeStatus.value, pid: 100 }) as never)
    }),
    Layer.mock(RuntimeHandlers, { get: () => Effect.succeed(handler), list: Effect.succeed([handler]) })
  )
  const layer = Releases.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(Jobs.layer, Pods.layer)),
    Layer.provideMerge(parts),
    Layer.provideMerge(Layer.merge(host.seam, files))
  )
  return { host, done, pinned, runtimeStatus, layer }
}

export type World = ReturnType<typeof makeWorld>

export const stateOf = (id: string) =>
  Effect.gen(function* () {
    const { pods, containers } = yield* (yield* Pods).snapshot
    return (pods.get(id) ?? containers.get(id))?.state
  })

const start = Effect.andThen(recover, TestClock.adjust("1 second"))

/** Starts the daemon on that host, and looks a second later. */
export const recovering = (
  found: Found,
  check: (world: World) => Effect.Effect<void, unknown, Pods>,
  prepare: (world: World) => void = () => {}
) => {
  const world = makeWorld(found)
  prepare(world)
  return Effect.andThen(start, check(world)).pipe(Effect.scoped, Effect.provide(world.layer))
}
