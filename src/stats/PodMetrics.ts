/**
 * Metrics of pods and their containers, in the groups that the configuration includes. They are read when somebody asks,
 * one sweep for all who ask meanwhile, or once in the period that the configuration sets.
 */
import { Clock, Context, Effect, Layer } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Settings } from "../config/Settings.ts"
import { Files } from "../linux/Files.ts"
import { Namespaces } from "../linux/Namespaces.ts"
import type { ContainerRecord } from "../pod/ContainerRecord.ts"
import { isRunning } from "../pod/ContainerState.ts"
import { Jobs } from "../pod/Jobs.ts"
import type { PodRecord } from "../pod/PodRecord.ts"
import { Pods } from "../pod/Pods.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { unlessRefused } from "./internal/unlessRefused.ts"
import { LayerUsage } from "./LayerUsage.ts"
import { cgroupFamilies } from "./metrics/cgroupFamilies.ts"
import type { ContainerFacts, DiskFacts } from "./metrics/ContainerFacts.ts"
import { containerFamilies } from "./metrics/containerFamilies.ts"
import { type Family, type MetricGroup, metricGroups } from "./metrics/Family.ts"
import { networkFamilies } from "./metrics/networkFamilies.ts"
import { readProcessFacts } from "./metrics/processFacts.ts"
import { collectionPeriod } from "./period.ts"
import { cgroupOf, isReady, networkNamespaceOf } from "./running.ts"

export interface Descriptor {
  readonly name: string
  readonly help: string
  readonly labelKeys: ReadonlyArray<string>
}

export interface MetricSample {
  readonly name: string
  readonly type: "counter" | "gauge"
  /** Nanoseconds since the epoch; 0: read for this very answer (k8s.io/cri-api, Metric.timestamp). */
  readonly timestampNs: bigint
  /** As many as the descriptor has keys, in their order. */
  readonly labelValues: ReadonlyArray<string>
  readonly value: bigint
}

export interface PodMetricSamples {
  readonly podId: string
  /** Of the pod itself. */
  readonly metrics: ReadonlyArray<MetricSample>
  readonly containers: ReadonlyArray<{ readonly containerId: string; readonly metrics: ReadonlyArray<MetricSample> }>
}

/** cAdvisor's, as CRI-O orders them. */
const commonKeys = ["id", "image", "namespace", "pod", "container"]

const labelsOfPod = ({ id, metadata }: PodRecord) => [id, "", metadata.namespace, metadata.name, "POD"]

const labelsOfContainer = ({ metadata: pod }: PodRecord, { id, image, metadata }: ContainerRecord) => [
  id,
  image.name ?? (image.userSpecified === "" ? image.requested : image.userSpecified),
  pod.namespace,
  pod.name,
  metadata.name
]

const samplesOf = <Facts>(
  families: ReadonlyArray<Family<Facts>>,
  facts: Facts,
  labels: ReadonlyArray<string>,
  timestampNs: bigint
): ReadonlyArray<MetricSample> =>
  families.flatMap(({ name, type, values }) =>
    values(facts).map(({ value, labels: own = [] }) => ({
      name,
      type,
      timestampNs,
      labelValues: [...labels, ...own],
      value
    }))
  )

export class PodMetrics extends Context.Service<
  PodMetrics,
  {
    /** Of all that `pods` can have; kubelet reads them once. */
    readonly descriptors: ReadonlyArray<Descriptor>
    /** Of pods that are ready, with the containers that run in them. */
    readonly pods: Effect.Effect<ReadonlyArray<PodMetricSamples>>
    /** Reads them, however young the last ones are. */
    readonly collect: Effect.Effect<void>
  }
>()("cricket/stats/PodMetrics") {
  static readonly layer = Layer.effect(
    PodMetrics,
    Effect.gen(function* () {
      const cgroups = yield* Cgroups
      const files = yield* Files
      const jobs = yield* Jobs
      const layers = yield* LayerUsage
      const namespaces = yield* Namespaces
      const pods = yield* Pods
      const { mountpoint } = yield* ContainerStore
      const settings = yield* Settings
      const period = collectionPeriod(settings)
      const context = yield* Effect.context<Cgroups | Files>()

      const wanted = settings.stats.included_pod_metrics
      const included: ReadonlySet<string> = new Set<string>(wanted.includes("all") ? metricGroups : wanted)
      const has = (group: MetricGroup) => included.has(group)
      const isIncluded = ({ group }: Family<never>) => group === undefined || has(group)
      const ofContainers = [...containerFamilies, ...cgroupFamilies].filter(isIncluded)
      const ofPods = networkFamilies.filter(isIncluded)

      const fileSystem = has("disk")
        ? unlessRefused("size of the store's file system", files.statFileSystem(mountpoint))
        : Effect.undefined

      const processesOf = Effect.fnUntraced(function* ({ id, state }: ContainerRecord, cgroup: string) {
        if (!has("process") || !("pid" in state)) return undefined
        const read = readProcessFacts(cgroup, state.pid).pipe(Effect.provideContext(context))
        return yield* unlessRefused(`processes of container ${id}`, read)
      })

      const factsOf = Effect.fnUntraced(function* (
        container: ContainerRecord,
        disk: Omit<DiskFacts, "usedBytes"> | undefined
      ) {
        const { id } = container
        const cgroup = cgroupOf(container)
        if (cgroup === undefined) return undefined
        const found = yield* unlessRefused(`usage of container ${id}`, cgroups.usageInDetail(cgroup))
        if (found === undefined) return undefined
        return {
          ...found,
          container,
          atNs: yield* Clock.currentTimeNanos,
          processes: yield* processesOf(container, cgroup),
          disk: disk && { ...disk, usedBytes: layers.last(id)?.bytes }
        } satisfies ContainerFacts
      })

      const metricsOfPod = Effect.fnUntraced(function* (pod: PodRecord, timestampNs: bigint) {
        const path = networkNamespaceOf(pod)
        if (path === undefined || ofPods.length === 0) return []
        const read = namespaces.networkCounters(path)
        const counters = yield* unlessRefused(`traffic of pod sandbox ${pod.id}`, read)
        const interfaces = (counters ?? []).filter(({ name }) => name !== "lo")
        return samplesOf(ofPods, interfaces, labelsOfPod(pod), timestampNs)
      })

      const sweep = Effect.fn("PodMetrics.sweep")(function* () {
        const snapshot = yield* pods.snapshot
        const running = Array.from(snapshot.containers.values()).filter(({ state }) => isRunning(state))
        const inside = Map.groupBy(running, ({ podId }) => podId)
        if (has("disk")) yield* layers.refresh(running.map(({ id }) => id))
        const disk = yield* fileSystem
        const atNs = yield* Clock.currentTimeNanos
        const timestampNs = period === 0 ? 0n : atNs
        const all: Array<PodMetricSamples> = []
        for (const pod of Array.from(snapshot.pods.values()).filter(isReady)) {
          const containers: Array<PodMetricSamples["containers"][number]> = []
          for (const container of inside.get(pod.id) ?? []) {
            const facts = yield* factsOf(container, disk)
            // It has ended meanwhile.
            if (facts === undefined) continue
            const labels = labelsOfContainer(pod, container)
            containers.push({
              containerId: container.id,
              metrics: samplesOf(ofContainers, facts, labels, timestampNs)
            })
          }
          all.push({ podId: pod.id, metrics: yield* metricsOfPod(pod, timestampNs), containers })
          // Between two pods, others get their turn.
          yield* Effect.yieldNow
        }
        last = { atNs, pods: all }
        return all
      })

      let last: { readonly atNs: bigint; readonly pods: ReadonlyArray<PodMetricSamples> } | undefined
      const collect = jobs.attach("collect metrics of pods", sweep())
      const oldNs = BigInt(period) * 2_000_000_000n

      return PodMetrics.of({
        descriptors: [...ofContainers, ...ofPods].map(({ name, help, labels }) => ({
          name,
          help,
          labelKeys: [...commonKeys, ...labels]
        })),
        pods: Effect.gen(function* () {
          const now = yield* Clock.currentTimeNanos
          // From the future where the host's time has gone back since.
          return last !== undefined && now >= last.atNs && now - last.atNs < oldNs ? last.pods : yield* collect
        }),
        collect: Effect.asVoid(collect)
      })
    })
  )
}
