/** Statistics and metrics, and lists while other requests are on their way: whole, and never an error. */
import * as fc from "fast-check"
import { Effect } from "effect"
import {
  type Container,
  ContainerFilter,
  ContainerState,
  type ContainerStats,
  ContainerStatsFilter,
  type ContainerStatsResponse,
  type ListMetricDescriptorsResponse,
  ListPodSandboxMetricsRequest,
  type ListPodSandboxMetricsResponse,
  PodSandboxStatsFilter,
  type ListPodSandboxStatsResponse,
  type PodSandbox,
  PodSandboxFilter,
  type PodSandboxStats,
  type PodSandboxStatsResponse
} from "../../gen/runtime/v1/api.ts"
import { message } from "../Cri.ts"
import { nameOf } from "../internal/requests.ts"
import { is, livePods, pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, type Site, valueOf } from "../Operation.ts"

/** A target beside others' objects shows theirs as well. */
const isOwn = ({ target, model }: Site, labels: Readonly<Record<string, string>> | undefined) =>
  target.profile.namespaces === "private" || labels?.["harness/pod"]?.startsWith(model.prefix) === true

/** What every answer has to tell, by its field, and whether this one does. */
type Parts = Readonly<Record<string, boolean>>

const partsOfPod = ({ id, metadata, createdAt, labels }: PodSandbox): Parts => ({
  id: id !== "",
  "metadata.name": (metadata?.name ?? "") !== "",
  "metadata.uid": (metadata?.uid ?? "") !== "",
  created_at: createdAt > 0n,
  labels: labels["harness/pod"] !== undefined
})

const partsOfContainer = ({
  id,
  podSandboxId,
  metadata,
  createdAt,
  image,
  imageRef,
  labels,
  state
}: Container): Parts => ({
  id: id !== "",
  pod_sandbox_id: podSandboxId !== "",
  "metadata.name": (metadata?.name ?? "") !== "",
  created_at: createdAt > 0n,
  image: (image?.image ?? "") !== "",
  image_ref: imageRef !== "",
  labels: labels["harness/container"] !== undefined,
  state: state !== ContainerState.CONTAINER_UNKNOWN
})

const partsOfStats = ({ attributes }: ContainerStats | PodSandboxStats): Parts => ({
  "attributes.id": (attributes?.id ?? "") !== "",
  "attributes.metadata.name": (attributes?.metadata?.name ?? "") !== ""
})

/** The first that lacks something, and what that is. */
const incomplete = <A>(
  all: ReadonlyArray<A>,
  idOf: (one: A) => string | undefined,
  partsOf: (one: A) => Parts
): string | undefined => {
  for (const one of all) {
    const lacking = Object.entries(partsOf(one)).flatMap(([field, isThere]) => (isThere ? [] : [field]))
    if (lacking.length > 0) return `${idOf(one)} without ${lacking.join(", ")}`
  }
  return undefined
}

interface Listed {
  readonly pods: ReadonlyArray<PodSandbox>
  readonly containers: ReadonlyArray<Container>
  readonly stats: ReadonlyArray<ContainerStats>
  readonly podStats: ReadonlyArray<PodSandboxStats>
}

const lists: Operation = {
  name: "ListsMeanwhile",
  group: "reads",
  weight: 4,
  parameters: fc.constant({}),
  prepare: (site) => {
    const { target, judge } = site
    const { cri } = target
    const noStats = Effect.succeed<ListPodSandboxStatsResponse>({ stats: [] })
    const label = "lists of pods, containers and their statistics"
    return {
      label,
      touches: () => [],
      compared: () => undefined,
      ask: Effect.all(
        {
          pods: Effect.map(cri.call("listPodSandbox", { filter: message(PodSandboxFilter) }), ({ items }) => items),
          containers: Effect.map(
            cri.call("listContainers", { filter: message(ContainerFilter) }),
            ({ containers }) => containers
          ),
          stats: Effect.map(
            cri.call("listContainerStats", { filter: message(ContainerStatsFilter) }),
            ({ stats }) => stats
          ),
          podStats: Effect.map(
            target.implements("listPodSandboxStats")
              ? cri.call("listPodSandboxStats", { filter: message(PodSandboxStatsFilter) })
              : noStats,
            ({ stats }) => stats
          )
        },
        { concurrency: "unbounded" }
      ),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        if (!(yield* judge.hold("read.known", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { pods, containers, stats, podStats } = valueOf<Listed>(outcome)
        const found =
          incomplete(
            pods.filter(({ labels }) => isOwn(site, labels)),
            ({ id }) => `pod ${id}`,
            partsOfPod
          ) ??
          incomplete(
            containers.filter(({ labels }) => isOwn(site, labels)),
            ({ id }) => `container ${id}`,
            partsOfContainer
          ) ??
          incomplete(
            [...stats, ...podStats].filter(({ attributes }) => isOwn(site, attributes?.labels)),
            ({ attributes }) => `statistics of ${attributes?.id}`,
            partsOfStats
          )
        yield* judge.hold("read.whole", found === undefined, () => `${label} have ${found}`)
      })
    }
  }
}

const containerStats: Operation = {
  name: "ContainerStats",
  group: "reads",
  weight: 2,
  needs: ["containerStats"],
  parameters: fc.record({ container: fc.nat(15) }),
  prepare: ({ target, model, judge }, parameters) => {
    const container = pick(runningContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const label = `ContainerStats of ${nameOf(container)}`
    return {
      label,
      touches: () => [{ object: container }],
      compared: () => undefined,
      ask: target.cri.call("containerStats", { containerId: container.id }),
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        if (!(yield* judge.hold("read.stats", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { stats } = valueOf<ContainerStatsResponse>(outcome)
        const isRight =
          stats?.attributes?.id === container.id && stats.attributes.metadata?.name === container.config.metadata?.name
        yield* judge.hold("read.stats", isRight, () => `${label} is of ${stats?.attributes?.id ?? "nothing"}`)
      })
    }
  }
}

const podStats: Operation = {
  name: "PodStats",
  group: "reads",
  weight: 2,
  needs: ["podSandboxStats", "listPodSandboxStats"],
  alone: true,
  parameters: fc.record({ pod: fc.nat(15) }),
  prepare: (site, parameters) => {
    const { target, model, judge } = site
    const ready = livePods(model).filter((pod) => is(pod, "ready") && !pod.mayEnd)
    const pod = pick(ready, numberOf(parameters, "pod"))
    if (pod === undefined) return undefined
    const label = `PodSandboxStats of ${nameOf(pod)}, and of all`
    return {
      label,
      touches: () => [{ object: pod }],
      compared: () => undefined,
      ask: Effect.all({
        one: target.cri.call("podSandboxStats", { podSandboxId: pod.id }),
        all: target.cri.call("listPodSandboxStats", { filter: message(PodSandboxStatsFilter) })
      }),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        if (!(yield* judge.hold("read.pod-stats", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { one, all } = valueOf<{
          readonly one: PodSandboxStatsResponse
          readonly all: ListPodSandboxStatsResponse
        }>(outcome)
        const { attributes, linux } = one.stats ?? {}
        // Where nothing runs there may be nothing to measure.
        const runs = runningContainers(model).some((container) => container.pod === pod)
        const hasTime = !runs || (linux?.cpu?.timestamp ?? 0n) > 0n
        yield* judge.hold(
          "read.pod-stats",
          attributes?.id === pod.id && attributes.metadata?.uid === pod.key && hasTime,
          () => `${label}: it is of ${attributes?.id}, of time ${linux?.cpu?.timestamp}`
        )
        const listed = all.stats.flatMap((stats) => stats.attributes?.id ?? [])
        const missing = ready.filter(({ id }) => !listed.includes(id)).map(nameOf)
        yield* judge.hold("read.pod-stats", missing.length === 0, () => `${label}: ${missing.join()} is not among them`)
        const gone = model.pods.filter((one) => is(one, "absent") && !one.inFlux && listed.includes(one.id)).map(nameOf)
        yield* judge.hold(
          "read.pod-stats",
          gone.length === 0,
          () => `${label}: ${gone.join()}, which is gone, is there`
        )
      })
    }
  }
}

const metrics: Operation = {
  name: "Metrics",
  group: "reads",
  weight: 1,
  needs: ["listMetricDescriptors", "listPodSandboxMetrics"],
  parameters: fc.constant({}),
  prepare: ({ target, judge }) => {
    const label = "ListMetricDescriptors and ListPodSandboxMetrics"
    return {
      label,
      touches: () => [],
      compared: () => undefined,
      ask: Effect.all({
        descriptors: target.cri.call("listMetricDescriptors", {}),
        metrics: target.cri.call("listPodSandboxMetrics", message(ListPodSandboxMetricsRequest))
      }),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        if (!(yield* judge.hold("read.metrics", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const found = valueOf<{
          readonly descriptors: ListMetricDescriptorsResponse
          readonly metrics: ListPodSandboxMetricsResponse
        }>(outcome)
        const labels = new Map(found.descriptors.descriptors.map(({ name, labelKeys }) => [name, labelKeys.length]))
        const all = found.metrics.podMetrics.flatMap(({ metrics, containerMetrics }) => [
          ...metrics,
          ...containerMetrics.flatMap((one) => one.metrics)
        ])
        const strange = all.find(({ name, labelValues }) => labels.get(name) !== labelValues.length)
        const says = () =>
          `${label}: ${strange?.name} has ${strange?.labelValues.length} label values; described are ${labels.get(strange?.name ?? "")}`
        yield* judge.hold("read.metrics", strange === undefined, says)
      })
    }
  }
}

export const statisticsOperations: ReadonlyArray<Operation> = [lists, containerStats, podStats, metrics]
