/** RPCs that not every runtime has: lists as streams, the pod's resources, checkpoints. */
import * as fc from "fast-check"
import { Effect } from "effect"
import {
  CheckpointContainerRequest,
  ContainerFilter,
  LinuxContainerResources,
  PodSandboxFilter,
  StreamContainersRequest,
  StreamPodSandboxesRequest,
  UpdatePodSandboxResourcesRequest
} from "../../gen/runtime/v1/api.ts"
import { message } from "../Cri.ts"
import { nameOf, unknownId } from "../internal/requests.ts"
import { is, livePods, pick } from "../Model.ts"
import { answered, describe, numberOf, type Operation, valueOf } from "../Operation.ts"

const idsOf = (all: ReadonlyArray<{ readonly id: string }>) => all.map(({ id }) => id).sort()

interface Ids {
  readonly listed: ReadonlyArray<string>
  readonly streamed: ReadonlyArray<string>
}

const streamedLists: Operation = {
  name: "StreamedLists",
  group: "reads",
  weight: 2,
  needs: ["streamPodSandboxes", "streamContainers"],
  alone: true,
  parameters: fc.constant({}),
  prepare: ({ target, model, judge }) => {
    // What may come or go by itself may do so between the two.
    if ([...model.pods, ...model.containers].some(({ inFlux }) => inFlux)) return undefined
    const { cri } = target
    const label = "StreamPodSandboxes and StreamContainers"
    return {
      label,
      touches: () => [],
      compared: () => undefined,
      ask: Effect.gen(function* () {
        const streamed: Array<{ readonly id: string }> = []
        yield* cri.stream("streamPodSandboxes", message(StreamPodSandboxesRequest), ({ podSandboxes }) => {
          streamed.push(...podSandboxes)
        })
        yield* cri.stream("streamContainers", message(StreamContainersRequest), ({ containers }) => {
          streamed.push(...containers)
        })
        const { items } = yield* cri.call("listPodSandbox", { filter: message(PodSandboxFilter) })
        const { containers } = yield* cri.call("listContainers", { filter: message(ContainerFilter) })
        return { listed: idsOf([...items, ...containers]), streamed: idsOf(streamed) } satisfies Ids
      }),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        if (!(yield* judge.hold("read.streamed", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { listed, streamed } = valueOf<Ids>(outcome)
        const says = () => `${label} give ${streamed.join() || "nothing"}; listed are ${listed.join() || "none"}`
        yield* judge.hold("read.streamed", listed.join() === streamed.join(), says)
      })
    }
  }
}

const cpuPeriod = 100_000n
const smallestQuota = 20_000

/** kubelet has resized the pod's cgroup, and tells so. */
const updatePod: Operation = {
  name: "UpdatePod",
  group: "pods",
  weight: 1,
  needs: ["updatePodSandboxResources"],
  alone: true,
  parameters: fc.record({ pod: fc.nat(15), step: fc.nat(4) }),
  prepare: ({ target, model, judge }, parameters) => {
    const ready = livePods(model).filter((pod) => is(pod, "ready") && !pod.mayEnd)
    const pod = pick(ready, numberOf(parameters, "pod"))
    if (pod === undefined) return undefined
    const label = `UpdatePodSandboxResources ${nameOf(pod)}`
    const cpuQuota = BigInt(smallestQuota * (1 + numberOf(parameters, "step")))
    const resources = message(LinuxContainerResources, { cpuPeriod, cpuQuota })
    return {
      label,
      touches: () => [{ object: pod }],
      ask: target.cri.call(
        "updatePodSandboxResources",
        message(UpdatePodSandboxResourcesRequest, { podSandboxId: pod.id, resources })
      ),
      check: (outcome) =>
        outcome._tag === "Unknown"
          ? Effect.void
          : judge.hold("pod.update", answered(outcome), () => `${label}: ${describe(outcome)}`)
    }
  }
}

const refusals = ["NOT_FOUND", "UNIMPLEMENTED"]

const checkpointUnknown: Operation = {
  name: "CheckpointOfUnknown",
  group: "containers",
  weight: 1,
  parameters: fc.constant({}),
  prepare: ({ target, judge }) => ({
    label: "CheckpointContainer of an unknown id",
    touches: () => [],
    compared: () => undefined,
    ask: target.cri.call("checkpointContainer", message(CheckpointContainerRequest, { containerId: unknownId })),
    check: (outcome) =>
      outcome._tag === "Unknown"
        ? Effect.void
        : judge.hold(
            "container.checkpoint.unknown",
            outcome._tag === "Failed" && refusals.includes(outcome.code),
            () => `CheckpointContainer of an unknown id: ${describe(outcome)}`
          )
  })
}

export const optionalOperations: ReadonlyArray<Operation> = [streamedLists, updatePod, checkpointUnknown]
