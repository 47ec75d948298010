/** Operations on containers. */
import * as fc from "fast-check"
import { Effect } from "effect"
import {
  ContainerResources,
  type CreateContainerResponse,
  LinuxContainerResources,
  UpdateContainerResourcesRequest
} from "../../gen/runtime/v1/api.ts"
import { message } from "../Cri.ts"
import type { Violation } from "../HarnessError.ts"
import { behaviourOf, containerStatusOf, makeContainer, nameOf, unknownId } from "../internal/requests.ts"
import {
  addCode,
  codesOfStop,
  type ContainerModel,
  is,
  liveContainers,
  livePods,
  may,
  ownCodes,
  pick
} from "../Model.ts"
import {
  answered,
  describe,
  numberOf,
  type Operation,
  type Parameters,
  type Prepared,
  type Site,
  type Surroundings,
  valueOf
} from "../Operation.ts"
import { idempotent } from "./pods.ts"

const askFor = ({ target }: Site, { pod, config }: ContainerModel): Prepared["ask"] =>
  target.cri.call("createContainer", { podSandboxId: pod.id, config, sandboxConfig: pod.config })

const maxContainers = 4

const ruleOfCreate = ({ twin, retried }: Pick<Surroundings, "twin" | "retried">): string =>
  retried ? "container.create.retry" : twin ? "container.create.concurrent" : "container.create.created"

const create: Operation = {
  name: "Create",
  group: "containers",
  weight: 14,
  parameters: fc.record({ pod: fc.nat(15), behaviour: fc.nat(14) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const pod = pick(livePods(model), numberOf(parameters, "pod"))
    if (pod === undefined || liveContainers(model).filter((one) => one.pod === pod).length >= maxContainers) {
      return undefined
    }
    const behaviour = behaviourOf(numberOf(parameters, "behaviour"), target)
    const container = makeContainer(model, pod, behaviour, target.profile.images.main, ownCodes[behaviour])
    model.containers.push(container)
    const wasReady = is(pod, "ready") && !pod.mayEnd
    const wasStopped = is(pod, "notReady")
    const ask = askFor(site, container)
    const name = nameOf(container)
    return {
      label: `CreateContainer ${name} that ${behaviour}`,
      touches: () => [{ object: container, act: "create" }, { object: pod }],
      ask,
      retry: ask,
      check: Effect.fnUntraced(function* (outcome, { contended, twin, retried }): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return
        const says = () => `CreateContainer ${name}: ${describe(outcome)}`
        // Meanwhile something else may have happened to its pod.
        const isReady = wasReady && (!retried || is(pod, "ready"))
        const isStopped = wasStopped && (!retried || is(pod, "notReady"))
        const rule = ruleOfCreate({ twin, retried })
        if (answered(outcome)) {
          const { containerId } = valueOf<CreateContainerResponse>(outcome)
          if (isStopped) yield* judge.hold("container.create.refused", false, says)
          const same = containerId !== "" && (container.id === "" || container.id === containerId)
          yield* judge.hold(rule, same, () => `two answers for ${name}: ${container.id} and ${containerId}`)
          container.id = containerId
          container.inFlux = false
          if (!contended) container.because = "container.create.created"
          return
        }
        if (isStopped) yield* judge.hold("container.create.refused", true, says)
        if (!isReady || contended) return
        yield* judge.hold(rule, false, says)
        container.inFlux = container.id === ""
      })
    }
  }
}

const onContainer = fc.record({ container: fc.nat(15) })

const createAgain: Operation = {
  name: "CreateAgain",
  group: "containers",
  weight: 2,
  alone: true,
  parameters: onContainer,
  prepare: (site, parameters) => {
    const made = liveContainers(site.model).filter((one) => is(one, "created") && is(one.pod, "ready"))
    const container = pick(made, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const { id } = container
    return {
      label: `CreateContainer ${nameOf(container)} again`,
      touches: () => [{ object: container }],
      ask: askFor(site, container),
      check: Effect.fnUntraced(function* (outcome): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return
        const same = answered(outcome) && valueOf<CreateContainerResponse>(outcome).containerId === id
        const says = () => `for ${nameOf(container)}, which is ${id}: ${describe(outcome)}`
        yield* site.judge.hold("container.create.again", same, says)
      })
    }
  }
}

const createBad: Operation = {
  name: "CreateBad",
  group: "containers",
  weight: 1,
  parameters: fc.record({ pod: fc.nat(15) }),
  prepare: (site, parameters) => {
    const { model, judge } = site
    const pod = pick(livePods(model), numberOf(parameters, "pod"))
    if (pod === undefined) return undefined
    const container = makeContainer(model, pod, "sleeps", "127.0.0.1:1/no/such:image", [])
    container.because = "container.create.refused"
    model.containers.push(container)
    return {
      label: `CreateContainer without its image in ${nameOf(pod)}`,
      touches: () => [{ object: pod }],
      ask: askFor(site, container),
      check: Effect.fnUntraced(function* (outcome): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return
        const says = () => "CreateContainer without its image succeeded"
        yield* judge.hold("container.create.refused", !answered(outcome), says)
      })
    }
  }
}

const startError = 128

const start: Operation = {
  name: "Start",
  group: "containers",
  weight: 14,
  parameters: fc.record({ container: fc.nat(15), any: fc.nat(5) }),
  prepare: (site, parameters) => {
    const { model, judge } = site
    const all = liveContainers(model)
    // Mostly one that can be started.
    const startable = all.filter((one) => may(one, "created"))
    const from = numberOf(parameters, "any") === 5 || startable.length === 0 ? all : startable
    const container = pick(from, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const mustStart = is(container, "created") && is(container.pod, "ready") && !container.pod.mayEnd
    const mustFail = is(container, "running") || is(container, "exited")
    const name = nameOf(container)
    const ask = site.target.cri.call("startContainer", { containerId: container.id })
    container.wasStarted = true
    return {
      label: `StartContainer ${name}`,
      touches: () => [{ object: container, act: "start" }, { object: container.pod }],
      ask,
      retry: ask,
      check: Effect.fnUntraced(function* (outcome, { contended, twin, retried }): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return addCode(container, startError)
        const says = () => `StartContainer ${name}: ${describe(outcome)}`
        if (answered(outcome)) container.because = "container.start.running"
        // As containerd and CRI-O show a start that failed.
        else addCode(container, startError)
        if (contended || twin || retried) return
        if (mustStart) yield* judge.hold("container.start.running", answered(outcome), says)
        if (mustFail) yield* judge.hold("container.start.refused", !answered(outcome), says)
      })
    }
  }
}

const containerOrGone = (site: Site, parameters: Parameters) => {
  const gone = numberOf(parameters, "gone") === 6
  const from = gone
    ? site.model.containers.filter((one) => is(one, "absent") && one.id !== "")
    : liveContainers(site.model)
  const container = pick(from, numberOf(parameters, "container"))
  return container === undefined && !gone ? undefined : { container, id: container?.id ?? unknownId }
}

/** Seconds of grace that a removal gives, if any. */
const graceOfRemoval = 1

/** Stopping and removing differ in the rules that judge them and in the time they may take. */
const endOfContainer = (end: {
  readonly operation: string
  readonly weight: number
  readonly parameters: Operation["parameters"]
  readonly rpc: string
  readonly act: "stop" | "remove"
  readonly because: string
  readonly ask: (site: Site, containerId: string, grace: number) => Prepared["ask"]
  readonly grace: (parameters: Parameters) => number
  readonly checkTime: (site: Site, label: string, grace: number, tookMs: number) => Effect.Effect<unknown, Violation>
}): Operation => ({
  name: end.operation,
  group: "containers",
  weight: end.weight,
  parameters: end.parameters,
  prepare: (site, parameters) => {
    const found = containerOrGone(site, parameters)
    if (found === undefined) return undefined
    const { container, id } = found
    const grace = end.grace(parameters)
    const ask = end.ask(site, id, grace)
    const label = `${end.rpc} ${container === undefined ? "an unknown id" : nameOf(container)}`
    return {
      label: end.act === "stop" ? `${label}, ${grace} s` : label,
      touches: () => (container === undefined ? [] : [{ object: container, act: end.act }]),
      ask: Effect.suspend(() => {
        if (container !== undefined) for (const code of codesOfStop(container, grace)) addCode(container, code)
        return ask
      }),
      retry: ask,
      check: Effect.fnUntraced(function* (outcome, surroundings): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return
        const rule = idempotent(`container.${end.act}`, surroundings)
        yield* site.judge.hold(rule, answered(outcome), () => `${label}: ${describe(outcome)}`)
        if (container === undefined) return
        container.because = end.because
        yield* end.checkTime(site, label, grace, outcome.tookMs)
      })
    }
  }
})

const stop = endOfContainer({
  operation: "Stop",
  weight: 7,
  parameters: fc.record({ container: fc.nat(15), gone: fc.nat(6), grace: fc.nat(2) }),
  rpc: "StopContainer",
  act: "stop",
  because: "container.stop.exited",
  ask: ({ target }, containerId, grace) => target.cri.call("stopContainer", { containerId, timeout: BigInt(grace) }),
  grace: (parameters) => numberOf(parameters, "grace"),
  checkTime: ({ judge, target }, label, grace, tookMs) =>
    judge.hold(
      "container.stop.grace",
      tookMs <= (grace + target.profile.limits.settle) * 1000,
      () => `${label} with ${grace} s took ${tookMs} ms`
    )
})

const remove = endOfContainer({
  operation: "Remove",
  weight: 5,
  parameters: fc.record({ container: fc.nat(15), gone: fc.nat(6) }),
  rpc: "RemoveContainer",
  act: "remove",
  because: "container.remove.gone",
  ask: ({ target }, containerId) => target.cri.call("removeContainer", { containerId }),
  grace: () => graceOfRemoval,
  checkTime: () => Effect.void
})

const memoryStep = 8 << 20

const update: Operation = {
  name: "Update",
  group: "containers",
  weight: 3,
  needs: ["updateContainerResources"],
  alone: true,
  parameters: fc.record({ container: fc.nat(15), step: fc.nat(4) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const some = liveContainers(model).filter((one) => (is(one, "created") || is(one, "running")) && !one.mayEnd)
    const container = pick(some, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const memory = BigInt((8 + numberOf(parameters, "step")) * memoryStep)
    const linux = message(LinuxContainerResources, { memoryLimitInBytes: memory })
    return {
      label: `UpdateContainerResources ${nameOf(container)}`,
      touches: () => [{ object: container }],
      ask: target.cri.call(
        "updateContainerResources",
        message(UpdateContainerResourcesRequest, { containerId: container.id, linux })
      ),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        const says = () => `UpdateContainerResources ${nameOf(container)}: ${describe(outcome)}`
        if (!(yield* judge.hold("container.update", answered(outcome), says))) return
        const { status } = yield* containerStatusOf(target.cri, container.id)
        const resources = status?.resources ?? message(ContainerResources)
        yield* judge.hold(
          "container.update",
          resources.linux?.memoryLimitInBytes === memory,
          () => `memory limit ${memory} of ${nameOf(container)} reads back as ${resources.linux?.memoryLimitInBytes}`
        )
      })
    }
  }
}

export const containerOperations: ReadonlyArray<Operation> = [
  create,
  createAgain,
  createBad,
  start,
  stop,
  remove,
  update
]
