/** Steps of what a client asks about what pods and containers use. None changes anything. */
import { Effect } from "effect"
import { handlers } from "../../../src/cri/handlers.ts"
import {
  type ContainerStats,
  ListContainerStatsRequest,
  ListContainerStatsResponse,
  ListPodSandboxMetricsResponse,
  ListPodSandboxStatsRequest,
  type PodSandboxMetrics,
  type PodSandboxStats,
  StreamContainerStatsRequest,
  StreamContainerStatsResponse,
  StreamPodSandboxMetricsResponse,
  StreamPodSandboxStatsRequest,
  StreamPodSandboxStatsResponse
} from "../../../src/gen/runtime/v1/api.ts"
import { must, mustList, type WorldOf } from "./contract.ts"
import type { Kubelet } from "./kubelet.ts"
import { blank, collected, decoded } from "./messages.ts"

const { runtime } = handlers

const attributesId = ({ attributes }: ContainerStats | PodSandboxStats): string => attributes?.id ?? ""

/** Samples are shared by those who ask within half a second: each of these steps has its own. */
const untilOld = Effect.sleep(501)

/** A figure that cannot be read is left out, and so is who has none; nobody else is. */
const excused = (worldOf: WorldOf, step: string): boolean => {
  const { struck, plan } = worldOf().calls
  return plan?.fault.kind === "fail" && struck?.step === step
}

interface Asked<A, E, R> {
  readonly step: string
  readonly ask: Effect.Effect<ReadonlyArray<A>, E, R>
  readonly idOf: (item: A) => string
  readonly isWhole: (item: A) => boolean
  readonly wanted: (kubelet: Kubelet) => string
}

/** All that runs, with all its figures. */
const usage =
  <A, E, R>({ step, ask, idOf, isWhole, wanted }: Asked<A, E, R>) =>
  (kubelet: Kubelet, worldOf: WorldOf) =>
    Effect.gen(function* () {
      yield* untilOld
      const running = kubelet.isRunning
      const before = yield* running
      const found = yield* ask
      const excuse = excused(worldOf, step) || !before || !(yield* running)
      const known = [wanted(kubelet)]
      yield* must(
        `${step} tells of nothing else`,
        found.map(idOf).every((id) => known.includes(id)),
        found
      )
      if (excuse) return
      yield* mustList(step, found, idOf, wanted(kubelet))
      yield* must("no figure is missing", found.every(isWhole), found)
    })

const hasContainerFigures = ({ cpu, memory, writableLayer }: ContainerStats): boolean =>
  (cpu?.timestamp ?? 0n) > 0n && (memory?.workingSetBytes?.value ?? 0n) > 0n && writableLayer !== undefined

const hasPodFigures = ({ linux }: PodSandboxStats): boolean =>
  linux?.network?.defaultInterface?.name === "eth0" &&
  (linux.process?.processCount?.value ?? 0n) > 0n &&
  linux.containers.length === 1 &&
  linux.containers.every(hasContainerFigures)

const hasMetrics = ({ metrics, containerMetrics }: PodSandboxMetrics): boolean =>
  metrics.length > 0 && containerMetrics.length === 1 && containerMetrics.every(({ metrics }) => metrics.length > 40)

const ofContainer = {
  idOf: attributesId,
  isWhole: hasContainerFigures,
  wanted: ({ containerId }: Kubelet) => containerId
}
const ofPod = { idOf: attributesId, isWhole: hasPodFigures, wanted: ({ podId }: Kubelet) => podId }
const ofMetrics = {
  idOf: ({ podSandboxId }: PodSandboxMetrics) => podSandboxId,
  isWhole: hasMetrics,
  wanted: ({ podId }: Kubelet) => podId
}

export const containerStats = (kubelet: Kubelet, worldOf: WorldOf) => {
  const ask = Effect.map(
    Effect.suspend(() => runtime.ContainerStats({ containerId: kubelet.containerId })),
    ({ stats }) => [stats]
  )
  return usage({ step: "ContainerStats", ask, ...ofContainer })(kubelet, worldOf)
}

export const listContainerStats = usage({
  step: "ListContainerStats",
  ask: Effect.map(
    decoded(runtime.ListContainerStats(blank(ListContainerStatsRequest)), ListContainerStatsResponse),
    ({ stats }) => stats
  ),
  ...ofContainer
})

export const streamContainerStats = usage({
  step: "StreamContainerStats",
  ask: Effect.map(
    collected(runtime.StreamContainerStats(blank(StreamContainerStatsRequest)), StreamContainerStatsResponse),
    (messages) => messages.flatMap((message) => message.containerStats)
  ),
  ...ofContainer
})

export const podSandboxStats = (kubelet: Kubelet, worldOf: WorldOf) => {
  const ask = Effect.map(
    Effect.suspend(() => runtime.PodSandboxStats({ podSandboxId: kubelet.podId })),
    ({ stats }) => [stats]
  )
  return usage({ step: "PodSandboxStats", ask, ...ofPod })(kubelet, worldOf)
}

export const listPodSandboxStats = usage({
  step: "ListPodSandboxStats",
  ask: Effect.map(runtime.ListPodSandboxStats(blank(ListPodSandboxStatsRequest)), ({ stats }) => stats),
  ...ofPod
})

export const streamPodSandboxStats = usage({
  step: "StreamPodSandboxStats",
  ask: Effect.map(
    collected(runtime.StreamPodSandboxStats(blank(StreamPodSandboxStatsRequest)), StreamPodSandboxStatsResponse),
    (messages) => messages.flatMap((message) => message.podSandboxStats)
  ),
  ...ofPod
})

export const listMetricDescriptors = Effect.gen(function* () {
  const { descriptors } = yield* runtime.ListMetricDescriptors({})
  const names = descriptors.map(({ name }) => name)
  yield* must("each metric is described once", names.length > 50 && new Set(names).size === names.length, names)
  yield* must(
    "each has keys",
    descriptors.every(({ labelKeys }) => labelKeys.length > 0),
    descriptors
  )
})

export const listPodSandboxMetrics = usage({
  step: "ListPodSandboxMetrics",
  ask: Effect.map(
    decoded(runtime.ListPodSandboxMetrics({}), ListPodSandboxMetricsResponse),
    ({ podMetrics }) => podMetrics
  ),
  ...ofMetrics
})

export const streamPodSandboxMetrics = usage({
  step: "StreamPodSandboxMetrics",
  ask: Effect.map(collected(runtime.StreamPodSandboxMetrics({}), StreamPodSandboxMetricsResponse), (messages) =>
    messages.flatMap(({ podSandboxMetrics }) => podSandboxMetrics)
  ),
  ...ofMetrics
})
