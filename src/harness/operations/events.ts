/** GetContainerEvents: a container's life as a client that listens sees it. */
import { Effect, Fiber } from "effect"
import * as fc from "fast-check"
import { ContainerEventType, ContainerState, GetEventsRequest } from "../../gen/runtime/v1/api.ts"
import { message } from "../Cri.ts"
import { eventually } from "../internal/eventually.ts"
import { containerStatusOf, makeContainer, nameOf } from "../internal/requests.ts"
import { is, livePods, pick } from "../Model.ts"
import { describe, numberOf, type Operation } from "../Operation.ts"

const life = [
  ContainerEventType.CONTAINER_CREATED_EVENT,
  ContainerEventType.CONTAINER_STARTED_EVENT,
  ContainerEventType.CONTAINER_STOPPED_EVENT,
  ContainerEventType.CONTAINER_DELETED_EVENT
]

const nameOfType = (type: number) =>
  Object.entries(ContainerEventType).find(([, value]) => value === type)?.[0] ?? String(type)

/** A stream has no answer that says that it is there. */
const subscribingMs = 100

const events: Operation = {
  name: "Events",
  group: "reads",
  weight: 2,
  needs: ["getContainerEvents"],
  alone: true,
  parameters: fc.record({ pod: fc.nat(15) }),
  prepare: ({ target, model, judge }, parameters) => {
    const ready = livePods(model).filter((pod) => is(pod, "ready") && !pod.mayEnd)
    const pod = pick(ready, numberOf(parameters, "pod"))
    if (pod === undefined) return undefined
    const { cri, profile } = target
    const container = makeContainer(model, pod, "completes", profile.images.main, [0])
    container.states = new Set(["absent", "created", "running", "exited"])
    container.inFlux = true
    model.containers.push(container)
    const { settle } = profile.limits
    return {
      label: `GetContainerEvents of ${nameOf(container)}, from its creation to its removal`,
      touches: () => [{ object: pod }],
      mayTakeMs: settle * 2000,
      ask: Effect.gen(function* () {
        const seen: Array<{ readonly id: string; readonly type: number; readonly createdAt: bigint }> = []
        const listening = yield* Effect.forkChild(
          cri.stream(
            "getContainerEvents",
            message(GetEventsRequest),
            ({ containerId, containerEventType, createdAt }) =>
              seen.push({ id: containerId, type: containerEventType, createdAt })
          ),
          { startImmediately: true }
        )
        yield* Effect.sleep(subscribingMs)
        const request = { podSandboxId: pod.id, config: container.config, sandboxConfig: pod.config }
        const { containerId } = yield* cri.call("createContainer", request)
        container.id = containerId
        container.wasStarted = true
        yield* cri.call("startContainer", { containerId })
        yield* eventually(
          settle,
          containerStatusOf(cri, containerId),
          ({ status }) => status?.state === ContainerState.CONTAINER_EXITED
        )
        yield* cri.call("removeContainer", { containerId })
        container.states = new Set(["absent"])
        container.inFlux = false
        const own = Effect.sync(() => seen.filter(({ id }) => id === containerId))
        const found = yield* eventually(settle, own, (list) => list.length >= life.length)
        yield* Fiber.interrupt(listening)
        return found
      }),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        const name = nameOf(container)
        const says = () => `the life of ${name} with somebody listening: ${describe(outcome)}`
        if (outcome._tag === "Failed") return void (yield* judge.hold("events.order", false, says))
        const found = outcome.value as ReadonlyArray<{ readonly type: number; readonly createdAt: bigint }>
        const types = found.map(({ type }) => type)
        yield* judge.hold(
          "events.order",
          types.join() === life.join(),
          () => `events of ${name}: ${types.map(nameOfType).join(", ") || "none"}`
        )
        const ordered = found.every(
          ({ createdAt }, index) => createdAt > 0n && createdAt >= (found[index - 1]?.createdAt ?? 0n)
        )
        const times = () => `events of ${name} have times ${found.map(({ createdAt }) => createdAt).join(", ")}`
        yield* judge.hold("events.order", ordered, times)
      })
    }
  }
}

export const eventOperations: ReadonlyArray<Operation> = [events]
