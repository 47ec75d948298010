/** A host of which only the statistics are there: cgroups by their path, traffic by the pin of a namespace. */
import { Effect, Layer } from "effect"
import { Cgroups } from "../../src/cgroup/Cgroups.ts"
import type { Usage } from "../../src/cgroup/Usage.ts"
import { Settings, type SettingsPatch } from "../../src/config/Settings.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { type InterfaceCounters, Namespaces } from "../../src/linux/Namespaces.ts"
import type { ContainerRecord } from "../../src/pod/ContainerRecord.ts"
import type { PodRecord } from "../../src/pod/PodRecord.ts"
import { Pods } from "../../src/pod/Pods.ts"
import { LayerUsage, type Measured } from "../../src/stats/LayerUsage.ts"
import { Sampler } from "../../src/stats/Sampler.ts"
import { ContainerStore } from "../../src/store/ContainerStore.ts"

export interface Host {
  readonly usages: Map<string, Usage>
  readonly traffic: Map<string, ReadonlyArray<InterfaceCounters>>
  readonly layers: Map<string, Measured>
  readonly containers: Map<string, ContainerRecord>
  readonly pods: Map<string, PodRecord>
  /** Cgroups and namespaces in the order in which they were read. */
  readonly reads: Array<string>
}

const process = { pid: 1, startTime: 1 }
export const running = { _tag: "Running", ...process, startedAtNs: 1n } as const
export const ended = {
  _tag: "Exited",
  startedAtNs: 1n,
  finishedAtNs: 2n,
  exitCode: 0,
  reason: "Completed",
  message: ""
} as const

export const containerOf = (
  pod: string,
  id: string,
  state: ContainerRecord["state"] = running,
  patch: Partial<ContainerRecord> = {}
) =>
  ({
    id,
    podId: pod,
    metadata: { name: `name-${id}`, attempt: 1 },
    labels: {},
    annotations: { note: id },
    image: { requested: "sha256:0", userSpecified: "registry.test/app:1" },
    limits: null,
    createdAtNs: 1n,
    state,
    resources: [{ _tag: "Runtime", containerId: id, handler: "crun", bundle: "", cgroup: `/p/${id}` }],
    ...patch
  }) as unknown as ContainerRecord

export const podOf = (id: string, patch: Partial<PodRecord> = {}) =>
  ({
    id,
    metadata: { name: `name-${id}`, uid: "uid", namespace: "default", attempt: 0 },
    labels: {},
    annotations: {},
    cgroupParent: `/kubepods/${id}`,
    createdAtNs: 1n,
    state: { _tag: "Ready" },
    resources: [{ _tag: "Network", attachment: { netnsPath: `/run/netns/${id}` } }],
    ...patch
  }) as unknown as PodRecord

export const usageOf = (cpuTimeNs: bigint, patch: Partial<Usage> = {}): Usage => ({
  cpuTimeNs,
  memory: {
    usageBytes: 100n,
    workingSetBytes: 80n,
    limitBytes: 300n,
    rssBytes: 60n,
    pageFaults: 5n,
    majorPageFaults: 2n
  },
  swap: undefined,
  pressure: { cpu: undefined, memory: undefined, io: undefined },
  tasks: 3n,
  ...patch
})

export const makeHost = (patch: Partial<Host> = {}): Host => ({
  usages: new Map(),
  traffic: new Map(),
  layers: new Map(),
  containers: new Map(),
  pods: new Map(),
  reads: [],
  ...patch
})

export const hostOf = (pods: ReadonlyArray<PodRecord>, containers: ReadonlyArray<ContainerRecord>): Host =>
  makeHost({
    pods: new Map(pods.map((pod) => [pod.id, pod])),
    containers: new Map(containers.map((container) => [container.id, container]))
  })

export const hostLayer = (host: Host, patch: SettingsPatch = {}) =>
  Layer.mergeAll(
    Settings.layerTest({ runtime: { cgroup_manager: "cgroupfs" }, ...patch }),
    Layer.mock(Cgroups, {
      version: 2,
      usage: (cgroups) =>
        Effect.sync(() => {
          host.reads.push(...cgroups)
          return cgroups.map((cgroup) => host.usages.get(cgroup))
        })
    }),
    Layer.mock(Namespaces, {
      networkCounters: (path) =>
        Effect.suspend(() => {
          host.reads.push(path)
          const found = host.traffic.get(path)
          return found === undefined
            ? Effect.fail(new LinuxError({ operation: "count", subject: path, code: "ENOENT" }))
            : Effect.succeed(found)
        })
    }),
    Layer.mock(ContainerStore, { mountpoint: "/store", directory: () => "", runDirectory: () => "" }),
    Layer.succeed(LayerUsage, { refresh: () => Effect.void, last: (id) => host.layers.get(id) }),
    Layer.mock(Pods, { snapshot: Effect.sync(() => ({ pods: host.pods, containers: host.containers })) })
  )

export const samplerLayer = (host: Host, patch: SettingsPatch = {}) =>
  Sampler.layer.pipe(Layer.provideMerge(hostLayer(host, patch)))
