/** Operations on pods. */
import * as fc from "fast-check"
import { Effect } from "effect"
import type { RunPodSandboxResponse } from "../../gen/runtime/v1/api.ts"
import { Files } from "../../linux/Files.ts"
import type { Violation } from "../HarnessError.ts"
import { makePod, nameOf, unknownId } from "../internal/requests.ts"
import { addCode, codesOfStop, containersOf, is, livePods, type PodModel, pick } from "../Model.ts"
import {
  answered,
  describe,
  numberOf,
  type Operation,
  type Prepared,
  type Site,
  type Surroundings,
  valueOf
} from "../Operation.ts"

/** The name of an idempotent request's rule: beside others for the same object it is another one. */
export const idempotent = (base: string, { contended, twin }: Surroundings): string =>
  `${base}.${contended || twin ? "concurrent" : "idempotent"}`

const askFor = ({ target }: Site, pod: PodModel): Prepared["ask"] =>
  Effect.gen(function* () {
    // kubelet makes it; it is there when the pod is asked for.
    yield* (yield* Files).makeDirectory(target.seen(pod.config.logDirectory), { recursive: true })
    return yield* target.cri.call("runPodSandbox", { config: pod.config, runtimeHandler: pod.handler })
  })

const prepareRun = (site: Site, pod: PodModel): Prepared => {
  const { judge } = site
  const ask = askFor(site, pod)
  return {
    label: `RunPodSandbox ${nameOf(pod)}`,
    touches: () => [{ object: pod, act: "run" }],
    ask,
    retry: ask,
    check: Effect.fnUntraced(function* (outcome, { twin, retried }): Effect.fn.Return<void, Violation> {
      if (outcome._tag === "Unknown") return
      const rule = retried ? "pod.run.retry" : twin ? "pod.run.concurrent" : "pod.run.ready"
      pod.because = rule
      if (!(yield* judge.hold(rule, answered(outcome), () => `RunPodSandbox ${nameOf(pod)}: ${describe(outcome)}`))) {
        pod.inFlux = pod.id === ""
        return
      }
      const { podSandboxId } = valueOf<RunPodSandboxResponse>(outcome)
      yield* judge.hold(
        rule,
        podSandboxId !== "" && (pod.id === "" || pod.id === podSandboxId),
        () => `two answers for ${nameOf(pod)}: ${pod.id} and ${podSandboxId}`
      )
      pod.id = podSandboxId
      pod.inFlux = false
    })
  }
}

const runPod: Operation = {
  name: "RunPod",
  group: "pods",
  weight: 12,
  parameters: fc.record({
    hostNetwork: fc.integer({ min: 0, max: 5 }),
    sharedPid: fc.integer({ min: 0, max: 4 }),
    hostPort: fc.integer({ min: 0, max: 3 }),
    handler: fc.nat(7)
  }),
  prepare: (site, parameters) => {
    const { model, target } = site
    if (livePods(model).length >= 5) return undefined
    const can = (name: string) => target.profile.capabilities.includes(name)
    const hostNetwork = numberOf(parameters, "hostNetwork") === 5
    const pod = makePod(model, target, {
      hostNetwork,
      sharedPid: can("sharedPid") && numberOf(parameters, "sharedPid") === 4,
      hostPort: !hostNetwork && can("hostPorts") && numberOf(parameters, "hostPort") === 3,
      handler: pick(target.profile.handlers, numberOf(parameters, "handler")) ?? ""
    })
    model.pods.push(pod)
    return prepareRun(site, pod)
  }
}

const onPod = fc.record({ pod: fc.nat(15) })

/** kubelet asks again for a pod whose answer it has missed. */
const runPodAgain: Operation = {
  name: "RunPodAgain",
  group: "pods",
  weight: 2,
  alone: true,
  parameters: onPod,
  prepare: (site, parameters) => {
    const pod = pick(
      livePods(site.model).filter((one) => is(one, "ready") && !one.mayEnd),
      numberOf(parameters, "pod")
    )
    if (pod === undefined) return undefined
    const { id } = pod
    return {
      label: `RunPodSandbox ${nameOf(pod)} again`,
      touches: () => [{ object: pod }],
      ask: askFor(site, pod),
      check: Effect.fnUntraced(function* (outcome): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return
        const same = outcome._tag === "Answered" && valueOf<RunPodSandboxResponse>(outcome).podSandboxId === id
        yield* site.judge.hold("pod.run.again", same, () => `for ${nameOf(pod)}, which is ${id}: ${describe(outcome)}`)
      })
    }
  }
}

const badPods = {
  handler: (pod: PodModel): PodModel => ({ ...pod, handler: "no-such-handler" }),
  metadata: (pod: PodModel): PodModel => ({ ...pod, config: { ...pod.config, metadata: undefined } })
}
const kindsOfBad = ["handler", "metadata"] as const

const runBadPod: Operation = {
  name: "RunBadPod",
  group: "pods",
  weight: 2,
  parameters: fc.record({ kind: fc.nat(kindsOfBad.length - 1) }),
  prepare: (site, parameters) => {
    const { model, target, judge } = site
    const kind = pick(kindsOfBad, numberOf(parameters, "kind")) ?? "handler"
    const plain = { hostNetwork: false, sharedPid: false, hostPort: false, handler: "" }
    const pod = badPods[kind](makePod(model, target, plain))
    // Listed as NOTREADY it is no violation: kubelet removes it.
    pod.states = new Set(["absent", "notReady"])
    pod.because = "pod.run.refused"
    pod.inFlux = true
    model.pods.push(pod)
    return {
      label: `RunPodSandbox with a bad ${kind}`,
      touches: () => [],
      ask: askFor(site, pod),
      check: Effect.fnUntraced(function* (outcome): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return
        yield* judge.hold("pod.run.refused", !answered(outcome), () => `RunPodSandbox with a bad ${kind} succeeded`)
      })
    }
  }
}

/** The pod and all that is in it. */
const touchesOf = (site: Site, pod: PodModel | undefined, act: "stopPod" | "removePod") => () =>
  pod === undefined
    ? []
    : [{ object: pod, act } as const, ...containersOf(site.model, pod).map((object) => ({ object, act }) as const)]

const codesOfPodStop = (site: Site, pod: PodModel) => {
  for (const container of containersOf(site.model, pod)) {
    for (const code of codesOfStop(container, 1)) addCode(container, code)
  }
}

/** A live pod, or with `gone` one that was removed, or an id that never was. */
const podOrGone = (site: Site, parameters: Parameters<Operation["prepare"]>[1]) => {
  const gone = numberOf(parameters, "gone") === 6
  const from = gone ? site.model.pods.filter((one) => is(one, "absent") && one.id !== "") : livePods(site.model)
  const pod = pick(from, numberOf(parameters, "pod"))
  return pod === undefined && !gone ? undefined : { pod, id: pod?.id ?? unknownId }
}

const onPodOrGone = fc.record({ pod: fc.nat(15), gone: fc.nat(6) })

/** Stopping and removing differ in the rule that judges them and in what is known of the pod afterwards. */
const endOfPod = (end: {
  readonly operation: string
  readonly weight: number
  readonly rpc: string
  readonly call: "stopPodSandbox" | "removePodSandbox"
  readonly change: "stopPod" | "removePod"
  readonly rule: "pod.stop" | "pod.remove"
  readonly learn: (site: Site, pod: PodModel) => void
}): Operation => ({
  name: end.operation,
  group: "pods",
  weight: end.weight,
  parameters: onPodOrGone,
  prepare: (site, parameters) => {
    const found = podOrGone(site, parameters)
    if (found === undefined) return undefined
    const { pod, id } = found
    const ask = site.target.cri.call(end.call, { podSandboxId: id })
    const label = `${end.rpc} ${pod === undefined ? "an unknown id" : nameOf(pod)}`
    return {
      label,
      touches: touchesOf(site, pod, end.change),
      ask: Effect.suspend(() => {
        if (pod !== undefined) codesOfPodStop(site, pod)
        return ask
      }),
      retry: ask,
      check: Effect.fnUntraced(function* (outcome, surroundings): Effect.fn.Return<void, Violation> {
        if (outcome._tag === "Unknown") return
        const rule = idempotent(end.rule, surroundings)
        yield* site.judge.hold(rule, answered(outcome), () => `${label}: ${describe(outcome)}`)
        if (pod !== undefined) end.learn(site, pod)
      })
    }
  }
})

const stopPod = endOfPod({
  operation: "StopPod",
  weight: 5,
  rpc: "StopPodSandbox",
  call: "stopPodSandbox",
  change: "stopPod",
  rule: "pod.stop",
  learn: (site, pod) => {
    pod.because = "pod.stop.notReady"
    for (const container of containersOf(site.model, pod)) {
      container.because = container.wasStarted ? "pod.stop.containers" : "pod.stop.created"
    }
  }
})

const removePod = endOfPod({
  operation: "RemovePod",
  weight: 4,
  rpc: "RemovePodSandbox",
  call: "removePodSandbox",
  change: "removePod",
  rule: "pod.remove",
  learn: (site, pod) => {
    for (const object of [pod, ...containersOf(site.model, pod)]) object.because = "pod.remove.gone"
  }
})

export const podOperations: ReadonlyArray<Operation> = [runPod, runPodAgain, runBadPod, stopPod, removePod]
