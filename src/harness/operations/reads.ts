/** Reads beyond those that follow every step. */
import * as fc from "fast-check"
import { Effect } from "effect"
import {
  ContainerFilter,
  ContainerState,
  ContainerStatsFilter,
  type ListContainersResponse,
  type ListContainerStatsResponse,
  type ListPodSandboxResponse,
  PodSandboxFilter,
  PodSandboxState,
  StatusRequest,
  VersionRequest
} from "../../gen/runtime/v1/api.ts"
import { message } from "../Cri.ts"
import { containerStatusOf, nameOf, unknownId } from "../internal/requests.ts"
import { is, liveContainers, livePods, may, pick } from "../Model.ts"
import { answered, describe, numberOf, type Operation, valueOf } from "../Operation.ts"

const sameIds = (found: ReadonlyArray<{ readonly id: string }>, expected: ReadonlyArray<{ readonly id: string }>) =>
  found.length === expected.length && expected.every(({ id }) => found.some((one) => one.id === id))

const podFilters = ["id", "state", "label", "both"] as const

const filterPods: Operation = {
  name: "FilterPods",
  group: "reads",
  weight: 2,
  alone: true,
  parameters: fc.record({ pod: fc.nat(15), filter: fc.nat(podFilters.length - 1) }),
  prepare: ({ target, model, judge }, parameters) => {
    const pods = livePods(model)
    const pod = pick(pods, numberOf(parameters, "pod"))
    // What is uncertain would make the answer uncertain.
    if (pod === undefined || model.pods.some(({ inFlux, mayEnd }) => inFlux || mayEnd)) return undefined
    const by = pick(podFilters, numberOf(parameters, "filter")) ?? "id"
    const state = is(pod, "ready") ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY
    const labelSelector = { "harness/pod": pod.key }
    const filters = {
      id: message(PodSandboxFilter, { id: pod.id }),
      state: message(PodSandboxFilter, { state: { state }, labelSelector: { "harness/run": model.prefix } }),
      label: message(PodSandboxFilter, { labelSelector }),
      both: message(PodSandboxFilter, { id: pod.id, labelSelector: { "harness/pod": "another" } })
    }
    const expected = {
      id: [pod],
      state: pods.filter((one) => is(one, "ready") === is(pod, "ready")),
      label: [pod],
      both: []
    }[by]
    return {
      label: `ListPodSandbox by ${by} of ${nameOf(pod)}`,
      touches: () => [{ object: pod }],
      ask: target.cri.call("listPodSandbox", { filter: filters[by] }),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        const says = () => `ListPodSandbox by ${by}: ${describe(outcome)}`
        if (!(yield* judge.hold("read.known", answered(outcome), says))) return
        const { items } = valueOf<ListPodSandboxResponse>(outcome)
        const detail = () =>
          `ListPodSandbox by ${by} of ${nameOf(pod)} gives ${items.map(({ id }) => id).join() || "nothing"}`
        yield* judge.hold("read.filter", sameIds(items, expected), detail)
      })
    }
  }
}

const containerFilters = ["id", "pod", "state", "label"] as const

const filterContainers: Operation = {
  name: "FilterContainers",
  group: "reads",
  weight: 2,
  alone: true,
  parameters: fc.record({ container: fc.nat(15), filter: fc.nat(containerFilters.length - 1) }),
  prepare: ({ target, model, judge }, parameters) => {
    const containers = liveContainers(model)
    const container = pick(containers, numberOf(parameters, "container"))
    const isUncertain = (one: { readonly inFlux: boolean; readonly mayEnd: boolean }) => one.inFlux || one.mayEnd
    if (container === undefined || model.containers.some(isUncertain) || model.pods.some(isUncertain)) return undefined
    const by = pick(containerFilters, numberOf(parameters, "filter")) ?? "id"
    const filters = {
      id: message(ContainerFilter, { id: container.id }),
      pod: message(ContainerFilter, { podSandboxId: container.pod.id }),
      state: message(ContainerFilter, {
        podSandboxId: container.pod.id,
        state: { state: ContainerState.CONTAINER_RUNNING }
      }),
      label: message(ContainerFilter, { labelSelector: container.config.labels })
    }
    const siblings = containers.filter(({ pod }) => pod === container.pod)
    const expected = {
      id: [container],
      pod: siblings,
      state: siblings.filter((one) => is(one, "running")),
      label: [container]
    }[by]
    return {
      label: `ListContainers by ${by} of ${nameOf(container)}`,
      touches: () => [{ object: container }],
      ask: target.cri.call("listContainers", { filter: filters[by] }),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        const says = () => `ListContainers by ${by}: ${describe(outcome)}`
        if (!(yield* judge.hold("read.known", answered(outcome), says))) return
        const { containers } = valueOf<ListContainersResponse>(outcome)
        const detail = () =>
          `ListContainers by ${by} of ${nameOf(container)} gives ${containers.map(({ id }) => id).join() || "nothing"}`
        yield* judge.hold("read.filter", sameIds(containers, expected), detail)
      })
    }
  }
}

/** Of what was removed, or never was. */
const statusOfUnknown: Operation = {
  name: "StatusOfUnknown",
  group: "reads",
  weight: 2,
  parameters: fc.record({ object: fc.nat(15), kind: fc.nat(1) }),
  prepare: ({ target, model, judge }, parameters) => {
    const number = numberOf(parameters, "object")
    const isPod = numberOf(parameters, "kind") === 0
    const gone = (isPod ? model.pods : model.containers).filter(
      (one) => is(one, "absent") && !one.inFlux && one.id !== ""
    )
    const id = pick(gone, number)?.id ?? unknownId
    const rpc = isPod ? "PodSandboxStatus" : "ContainerStatus"
    return {
      label: `${rpc} of ${id === unknownId ? "an unknown id" : "what was removed"}`,
      touches: () => [],
      ask: isPod
        ? target.cri.call("podSandboxStatus", { podSandboxId: id, verbose: false })
        : containerStatusOf(target.cri, id),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        const isRight = outcome._tag === "Failed" && outcome.code === "NOT_FOUND"
        yield* judge.hold("read.unknown", isRight, () => `${rpc} of ${id}: ${describe(outcome)}`)
      })
    }
  }
}

const stats: Operation = {
  name: "Stats",
  group: "reads",
  weight: 2,
  alone: true,
  parameters: fc.constant({}),
  prepare: ({ target, model, judge }) => ({
    label: "ListContainerStats",
    touches: () => [],
    ask: target.cri.call("listContainerStats", {
      filter: message(ContainerStatsFilter, { labelSelector: {} })
    }),
    check: Effect.fnUntraced(function* (outcome) {
      if (outcome._tag === "Unknown") return
      const says = () => `ListContainerStats: ${describe(outcome)}`
      if (!(yield* judge.hold("read.stats", answered(outcome), says))) return
      const found = valueOf<ListContainerStatsResponse>(outcome).stats
      for (const container of liveContainers(model)) {
        const own = found.find(({ attributes }) => attributes?.id === container.id)
        const name = nameOf(container)
        if (is(container, "running") && !container.mayEnd && !container.pod.mayEnd) {
          yield* judge.hold("read.stats", own !== undefined, () => `${name} runs and has no statistics`)
          const times = [own?.cpu?.timestamp, own?.memory?.timestamp].filter((time) => time !== undefined)
          yield* judge.hold(
            "read.stats",
            times.every((time) => time > 0n),
            () => `statistics of ${name} have no time`
          )
        }
        if (!may(container, "running")) {
          yield* judge.hold("read.stats", own === undefined, () => `${name} does not run and has statistics`)
        }
      }
    })
  })
}

const node: Operation = {
  name: "NodeStatus",
  group: "reads",
  weight: 1,
  parameters: fc.constant({}),
  prepare: ({ target, judge }) => ({
    label: "Version, Status, ImageFsInfo, RuntimeConfig",
    touches: () => [],
    ask: Effect.all([
      target.cri.call("version", message(VersionRequest)),
      target.cri.call("status", message(StatusRequest)),
      target.cri.call("imageFsInfo", {}),
      target.implements("runtimeConfig") ? target.cri.call("runtimeConfig", {}) : Effect.void
    ]),
    check: Effect.fnUntraced(function* (outcome) {
      if (outcome._tag === "Unknown") return
      const says = () => `Version, Status, ImageFsInfo, RuntimeConfig: ${describe(outcome)}`
      if (!(yield* judge.hold("read.status", answered(outcome), says))) return
      const [version, status] =
        valueOf<[{ [key: string]: string }, { status?: { conditions: ReadonlyArray<{ status: boolean }> } }, unknown]>(
          outcome
        )
      yield* judge.hold(
        "read.status",
        Object.values(version).filter((text) => text !== "").length >= 4,
        () => `Version has an empty text: ${JSON.stringify(version)}`
      )
      const conditions = status.status?.conditions ?? []
      yield* judge.hold(
        "read.status",
        conditions.length >= 2 && conditions.every((condition) => condition.status),
        () => `Status is not ready: ${JSON.stringify(conditions)}`
      )
    })
  })
}

export const readOperations: ReadonlyArray<Operation> = [filterPods, filterContainers, statusOfUnknown, stats, node]
