/**
 * Samples of what containers and pods use. A request takes those of the last half second as they are and has the others
 * taken: some files of the kernel each, no process, no walk through directories. Nothing is sampled while nobody asks,
 * unless the configuration says so.
 */
import { Clock, Context, Effect, Layer, Semaphore } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { podCgroup } from "../cgroup/paths.ts"
import type { Usage } from "../cgroup/Usage.ts"
import { Settings } from "../config/Settings.ts"
import { Namespaces } from "../linux/Namespaces.ts"
import type { ContainerRecord } from "../pod/ContainerRecord.ts"
import { isRunning } from "../pod/ContainerState.ts"
import type { PodRecord } from "../pod/PodRecord.ts"
import { Pods } from "../pod/Pods.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { makeSheet } from "./internal/sheet.ts"
import { unlessRefused } from "./internal/unlessRefused.ts"
import { LayerUsage } from "./LayerUsage.ts"
import { collectionPeriod } from "./period.ts"
import { cgroupOf, isReady, networkNamespaceOf } from "./running.ts"
import { type CgroupSample, type ContainerSample, nanoCoresSince, type PodSample, sumOf } from "./Sample.ts"

export class Sampler extends Context.Service<
  Sampler,
  {
    /** In the order asked for, whatever their state; one that was removed meanwhile is left out. */
    readonly containers: (wanted: ReadonlyArray<ContainerRecord>) => Effect.Effect<ReadonlyArray<ContainerSample>>
    /** The same of pods, each with the containers that run in it. */
    readonly pods: (wanted: ReadonlyArray<PodRecord>) => Effect.Effect<ReadonlyArray<PodSample>>
    /** Samples all that runs, however young the last samples are. */
    readonly everything: Effect.Effect<void>
  }
>()("cricket/stats/Sampler") {
  static readonly layer = Layer.effect(
    Sampler,
    Effect.gen(function* () {
      const cgroups = yield* Cgroups
      const namespaces = yield* Namespaces
      const layers = yield* LayerUsage
      const pods = yield* Pods
      const { mountpoint } = yield* ContainerStore
      const settings = yield* Settings
      const period = collectionPeriod(settings)
      // A collection may take its time: a sample is old only when one has been missed.
      const oldNs = period === 0 ? youngNs : BigInt(period) * 2_000_000_000n

      /** Of owners with their cgroups, where they have one. */
      const usagesOf = Effect.fnUntraced(function* (cgroupsOfOwners: ReadonlyArray<string | undefined>) {
        const there = cgroupsOfOwners.filter((cgroup) => cgroup !== undefined)
        const usages = yield* unlessRefused(`usage of ${there.join(", ")}`, cgroups.usage(there))
        const byCgroup = new Map(there.map((cgroup, index) => [cgroup, usages?.[index]]))
        return cgroupsOfOwners.map((cgroup) => (cgroup === undefined ? undefined : byCgroup.get(cgroup)))
      })

      const turn = yield* Semaphore.make(1)

      const containerSheet = makeSheet<ContainerRecord, ContainerSample>(
        turn,
        Effect.fnUntraced(function* (some, before) {
          const usages = yield* usagesOf(some.map(cgroupOf))
          const atNs = yield* Clock.currentTimeNanos
          return some.map((container, index) => {
            const layer = layers.last(container.id)
            const sample = sampleSince(before(container), atNs, usages[index])
            return { ...sample, container, layer: layer && { ...layer, mountpoint } }
          })
        })
      )

      const networkOf = Effect.fnUntraced(function* (pod: PodRecord) {
        const path = networkNamespaceOf(pod)
        if (path === undefined) return undefined
        const counters = yield* unlessRefused(`traffic of pod sandbox ${pod.id}`, namespaces.networkCounters(path))
        return counters?.filter(({ name }) => name !== "lo")
      })

      const ownCgroupOf = ({ cgroupParent }: PodRecord) => podCgroup(settings.runtime.cgroup_manager, cgroupParent)

      /** Of a pod without a cgroup of its own it is what its containers and its pause process use together. */
      const usageTogether = Effect.fnUntraced(function* (pod: PodRecord) {
        const inside = (yield* runningIn([pod])).map(({ id }) => containerSheet.get(id)?.usage)
        return sumOf([...(yield* usagesOf([cgroupOf(pod)])), ...inside].filter((usage) => usage !== undefined))
      })

      const podSheet = makeSheet<PodRecord, Omit<PodSample, "containers">>(
        turn,
        Effect.fnUntraced(function* (some, before) {
          const usages = yield* usagesOf(some.map(ownCgroupOf))
          const atNs = yield* Clock.currentTimeNanos
          return yield* Effect.forEach(
            some,
            Effect.fnUntraced(function* (pod, index) {
              const usage = ownCgroupOf(pod) === undefined ? yield* usageTogether(pod) : usages[index]
              return { ...sampleSince(before(pod), atNs, usage), pod, network: yield* networkOf(pod) }
            })
          )
        })
      )

      const runningIn = Effect.fnUntraced(function* (wanted: ReadonlyArray<PodRecord>) {
        const ids = new Set(wanted.map(({ id }) => id))
        const { containers } = yield* pods.snapshot
        return Array.from(containers.values()).filter((one) => ids.has(one.podId) && isRunning(one.state))
      })

      const forgetRemoved = Effect.map(pods.snapshot, (snapshot) => {
        containerSheet.forgetUnless((id) => snapshot.containers.has(id))
        podSheet.forgetUnless((id) => snapshot.pods.has(id))
      })

      const sampleContainers = Effect.fnUntraced(function* (wanted: ReadonlyArray<ContainerRecord>, maxAgeNs: bigint) {
        const due = yield* containerSheet.due(wanted, maxAgeNs)
        if (due.length === 0) return
        // Before the sweep: the first measurement of a layer is waited for.
        yield* layers.refresh(due.map(({ id }) => id))
        yield* containerSheet.refresh(due, maxAgeNs)
        yield* forgetRemoved
      })

      const samplePods = Effect.fnUntraced(function* (wanted: ReadonlyArray<PodRecord>, maxAgeNs: bigint) {
        const running = yield* runningIn(wanted)
        yield* sampleContainers(running, maxAgeNs)
        yield* podSheet.refresh(wanted, maxAgeNs)
        yield* forgetRemoved
        return running
      })

      const latestOf = (containers: ReadonlyArray<ContainerRecord>) =>
        containers.flatMap(({ id }) => containerSheet.get(id) ?? [])

      return Sampler.of({
        containers: Effect.fn("Sampler.containers")(function* (wanted) {
          yield* sampleContainers(wanted, oldNs)
          return latestOf(wanted)
        }),
        pods: Effect.fn("Sampler.pods")(function* (wanted) {
          const inside = Map.groupBy(yield* samplePods(wanted, oldNs), ({ podId }) => podId)
          return wanted.flatMap(({ id }) => {
            const own = podSheet.get(id)
            return own === undefined ? [] : [{ ...own, containers: latestOf(inside.get(id) ?? []) }]
          })
        }),
        everything: Effect.flatMap(pods.snapshot, (snapshot) =>
          Effect.asVoid(samplePods(Array.from(snapshot.pods.values()).filter(isReady), 0n))
        )
      })
    })
  )
}

const sampleSince = (before: CgroupSample | undefined, atNs: bigint, usage: Usage | undefined): CgroupSample => ({
  atNs,
  usage,
  nanoCores: nanoCoresSince(before, { atNs, usage })
})

/** Nanoseconds. kubelet decides by what it asks for every ten seconds, crictl takes two samples a second apart. */
const youngNs = 500_000_000n
