/** A host of which only the statistics are there: cgroups by their path, traffic by the pin of a namespace. */
import { Effect, Layer } from "effect"
import { Cgroups } from "../../src/cgroup/Cgroups.ts"
import type { Details, Usage } from "../../src/cgroup/Usage.ts"
import { Settings, type SettingsPatch } from "../../src/config/Settings.ts"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { type InterfaceCounters, Namespaces } from "../../src/linux/Namespaces.ts"
import type { ContainerRecord } from "../../src/pod/ContainerRecord.ts"
import { Jobs } from "../../src/pod/Jobs.ts"
import type { PodRecord } from "../../src/pod/PodRecord.ts"
import { Pods } from "../../src/pod/Pods.ts"
import { LayerUsage, type Measured } from "../../src/stats/LayerUsage.ts"
import { PodMetrics } from "../../src/stats/PodMetrics.ts"
import { Sampler } from "../../src/stats/Sampler.ts"
import { ContainerStore } from "../../src/store/ContainerStore.ts"

export interface Host {
  readonly usages: Map<string, Usage>
  readonly traffic: Map<string, ReadonlyArray<InterfaceCounters>>
  readonly layers: Map<string, Measured>
  readonly details: Map<string, Details>
  /** Process ids by cgroup. */
  readonly processes: Map<string, ReadonlyArray<number>>
  readonly texts: Map<string, string>
  readonly links: Map<string, ReadonlyArray<string>>
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
    image: { requested: "sha256:0", userSpecified: "app:1", name: "registry.test/app:1" },
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
  details: new Map(),
  processes: new Map(),
  texts: new Map(),
  links: new Map(),
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

const absent = (subject: string) => Effect.fail(new LinuxError({ operation: "read", subject, code: "ENOENT" }))

export const hostLayer = (host: Host, patch: SettingsPatch = {}) =>
  Layer.mergeAll(
    Settings.layerTest({ runtime: { cgroup_manager: "cgroupfs" }, ...patch }),
    Layer.mock(Cgroups, {
      version: 2,
      usage: (cgroups) =>
        Effect.sync(() => {
          host.reads.push(...cgroups)
          return cgroups.map((cgroup) => host.usages.get(cgroup))
        }),
      usageInDetail: (cgroup) =>
        Effect.sync(() => {
          host.reads.push(cgroup)
          const [usage, details] = [host.usages.get(cgroup), host.details.get(cgroup)]
          return usage && details && { usage, details }
        }),
      processes: (cgroup) => {
        const found = host.processes.get(cgroup)
        return found === undefined ? absent(cgroup) : Effect.succeed(found)
      }
    }),
    Layer.mock(Files, {
      readKernelTexts: (paths) => Effect.sync(() => paths.map((path) => host.texts.get(path))),
      readKernelLinks: (directory, limit) => Effect.sync(() => host.links.get(directory)?.slice(0, limit)),
      statFileSystem: () => Effect.succeed({ totalBytes: 20n, freeBytes: 10n, totalInodes: 50n, freeInodes: 40n })
    }),
    Layer.mock(Namespaces, {
      networkCounters: (path) =>
        Effect.suspend(() => {
          host.reads.push(path)
          const found = host.traffic.get(path)
          return found === undefined ? absent(path) : Effect.succeed(found)
        })
    }),
    Layer.mock(ContainerStore, { mountpoint: "/store", directory: () => "", runDirectory: () => "" }),
    Layer.succeed(LayerUsage, { refresh: () => Effect.void, last: (id) => host.layers.get(id) }),
    Layer.mock(Pods, { snapshot: Effect.sync(() => ({ pods: host.pods, containers: host.containers })) })
  )

export const samplerLayer = (host: Host, patch: SettingsPatch = {}) =>
  Sampler.layer.pipe(Layer.provideMerge(hostLayer(host, patch)))

export const metricsLayer = (host: Host, patch: SettingsPatch = {}) =>
  PodMetrics.layer.pipe(Layer.provide(Jobs.layer), Layer.provideMerge(hostLayer(host, patch)))
