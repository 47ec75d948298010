/** Reads back everything that the model knows, holds it against the model, and leaves one state where several were possible. */
import { Clock, Effect } from "effect"
import {
  type Container,
  ContainerFilter,
  ContainerState as CriContainerState,
  type ContainerStatus,
  NamespaceMode,
  type PodSandbox,
  PodSandboxFilter,
  PodSandboxState,
  type PodSandboxStatus
} from "../../gen/runtime/v1/api.ts"
import { message, type RpcFailure } from "../Cri.ts"
import type { Violation } from "../HarnessError.ts"
import type { ContainerModel, ContainerState, PodModel, PodState } from "../Model.ts"
import type { Site } from "../Operation.ts"
import { containerStatusOf, nameOf } from "./requests.ts"

/** Clocks of the target and of the harness are the same; what rounds to another unit may be behind. */
const clockSlackNs = 2_000_000_000n

const sameFields = (one: object = {}, other: object = {}) => {
  const fields = Object.entries(one)
  return (
    fields.length === Object.keys(other).length && fields.every(([key, value]) => Reflect.get(other, key) === value)
  )
}

const listedState: Readonly<Record<number, ContainerState>> = {
  [CriContainerState.CONTAINER_CREATED]: "created",
  [CriContainerState.CONTAINER_RUNNING]: "running",
  [CriContainerState.CONTAINER_EXITED]: "exited"
}

/** A read of what exists; one that fails breaks a rule. */
const reading = <A>({ judge }: Site, what: string, read: Effect.Effect<A, RpcFailure>) =>
  read.pipe(
    Effect.matchEffect({
      onSuccess: (value) =>
        Effect.as(
          judge.hold("read.known", true, () => ""),
          value
        ),
      onFailure: ({ message }) =>
        Effect.as(
          judge.hold("read.known", false, () => `${what}: ${message}`),
          undefined
        )
    })
  )

const podFilter = (site: Site) => message(PodSandboxFilter, { labelSelector: { "harness/run": site.model.prefix } })

/** In a target of its own everything that is listed is ours; beside others only what has our label. */
const ours = (site: Site) => (site.target.profile.namespaces === "private" ? undefined : podFilter(site))

export const podsOf = (site: Site) => site.target.cri.call("listPodSandbox", { filter: ours(site) })

const narrow = <S extends string>(object: { states: ReadonlySet<S>; readonly inFlux: boolean }, seen: S) => {
  if (!object.inFlux) object.states = new Set([seen])
}

const checkPod = Effect.fnUntraced(function* (site: Site, pod: PodModel, status: PodSandboxStatus) {
  const { judge, model } = site
  const name = nameOf(pod)
  const { config } = pod
  const sameMetadata = sameFields(status.metadata, config.metadata)
  yield* judge.hold(
    "pod.run.echo",
    sameMetadata && sameFields(status.labels, config.labels) && sameFields(status.annotations, config.annotations),
    () => `PodSandboxStatus of ${name} gives ${JSON.stringify([status.metadata, status.labels, status.annotations])}`
  )
  yield* judge.hold(
    "pod.run.echo",
    status.runtimeHandler === pod.handler,
    () =>
      `${name} was asked for with handler ${JSON.stringify(pod.handler)} and shows ${JSON.stringify(status.runtimeHandler)}`
  )
  const network = config.linux?.securityContext?.namespaceOptions?.network ?? NamespaceMode.POD
  yield* judge.hold(
    "pod.run.echo",
    status.linux?.namespaces?.options?.network === network,
    () => `${name} shows network mode ${status.linux?.namespaces?.options?.network}, not ${network}`
  )
  const now = yield* Clock.currentTimeNanos
  const isTime = status.createdAt > 0n && status.createdAt <= now + clockSlackNs
  yield* judge.hold(
    "pod.run.times",
    isTime && (pod.createdAt === 0n || pod.createdAt === status.createdAt),
    () => `created_at of ${name} is ${status.createdAt}; it was ${pod.createdAt}, now is ${now}`
  )
  pod.createdAt = status.createdAt
  if (status.state !== PodSandboxState.SANDBOX_READY || network === NamespaceMode.NODE || pod.mayEnd) return
  const address = status.network?.ip ?? ""
  const twin = model.pods.find((other) => other !== pod && other.address === address && other.states.has("ready"))
  yield* judge.hold(
    "pod.run.address",
    address !== "" && (pod.address === "" || pod.address === address) && twin === undefined,
    () =>
      `${name} has address ${JSON.stringify(address)}; it had ${JSON.stringify(pod.address)}` +
      (twin === undefined ? "" : `, and ${nameOf(twin)} has it too`)
  )
  pod.address = address
})

const killed = 137

const checkExit = Effect.fnUntraced(function* (site: Site, container: ContainerModel, status: ContainerStatus) {
  const { judge } = site
  const name = nameOf(container)
  const { exitCode, reason, finishedAt } = status
  const { codes, exit } = container
  if (exit !== undefined) {
    yield* judge.hold(
      "container.exit.stable",
      exit.code === exitCode && exit.reason === reason && exit.finishedAt === finishedAt,
      () =>
        `the exit of ${name} was ${exit.code} ${exit.reason} at ${exit.finishedAt} and is ${exitCode} ${reason} at ${finishedAt}`
    )
    return
  }
  container.exit = { code: exitCode, reason, finishedAt }
  if (!container.wasStarted || codes === undefined) return
  yield* judge.hold(
    "container.exit.code",
    codes.has(exitCode),
    () =>
      `${name}, which ${container.behaviour}, has exit code ${exitCode} (${reason}); expected ${[...codes].join(" or ")}`
  )
  if (container.behaviour === "outgrows" && !container.wasDisturbed) {
    yield* judge.hold(
      "container.exit.oom",
      exitCode === killed && reason === "OOMKilled",
      () => `${name}, which outgrew its memory, has exit code ${exitCode} and reason ${JSON.stringify(reason)}`
    )
  }
  // A start that failed has a reason of its own.
  const isReason =
    exitCode === 128
      ? reason !== ""
      : exitCode === 0
        ? reason === "Completed"
        : reason === "Error" || reason === "OOMKilled"
  yield* judge.hold(
    "container.exit.reason",
    isReason,
    () => `${name} has exit code ${exitCode} and reason ${JSON.stringify(reason)}`
  )
})

const checkContainer = Effect.fnUntraced(function* (site: Site, container: ContainerModel, status: ContainerStatus) {
  const { judge } = site
  const name = nameOf(container)
  const { config, pod } = container
  const says = () =>
    `ContainerStatus of ${name} gives ${JSON.stringify([status.metadata, status.labels, status.annotations])}`
  yield* judge.hold(
    "container.create.echo",
    sameFields(status.metadata, config.metadata) &&
      sameFields(status.labels, config.labels) &&
      sameFields(status.annotations, config.annotations),
    says
  )
  const logPath = `${pod.config.logDirectory}/${config.logPath}`
  yield* judge.hold(
    "container.create.echo",
    status.logPath === logPath && (status.image?.image ?? "") !== "" && status.imageRef !== "",
    () =>
      `${name} shows log ${status.logPath}, image ${JSON.stringify(status.image?.image)}, reference ${status.imageRef}`
  )
  const { createdAt, startedAt, finishedAt, state } = status
  const exited = state === CriContainerState.CONTAINER_EXITED
  const ordered =
    createdAt > 0n &&
    (startedAt === 0n || startedAt >= createdAt) &&
    (finishedAt === 0n || finishedAt >= (startedAt === 0n ? createdAt : startedAt)) &&
    finishedAt > 0n === exited &&
    (state !== CriContainerState.CONTAINER_RUNNING || startedAt > 0n) &&
    (state !== CriContainerState.CONTAINER_CREATED || startedAt === 0n)
  const stable =
    (container.createdAt === 0n || container.createdAt === createdAt) &&
    (container.startedAt === 0n || container.startedAt === startedAt)
  yield* judge.hold(
    "container.times",
    ordered && stable,
    () =>
      `${name} in state ${listedState[state]} has created_at ${createdAt} (was ${container.createdAt}), started_at ${startedAt} (was ${container.startedAt}), finished_at ${finishedAt}`
  )
  container.createdAt = createdAt
  container.startedAt = startedAt
  if (exited) yield* checkExit(site, container, status)
})

const matchPods = Effect.fnUntraced(function* (site: Site, listed: ReadonlyArray<PodSandbox>) {
  const { judge, model } = site
  const seen = new Map<PodModel, PodState>()
  for (const { id, metadata, state } of listed) {
    const pod = model.pods.find((one) => one.id === id || (one.id === "" && one.key === metadata?.uid))
    const says = () => `ListPodSandbox has ${id} (${metadata?.name}, ${metadata?.uid})`
    if (!(yield* judge.hold("read.listed", pod !== undefined, says)) || pod === undefined) continue
    const other = pod.id !== "" && pod.id !== id
    const twice = () => `there are two pods ${metadata?.name} of uid ${metadata?.uid}: ${pod.id} and ${id}`
    if (!(yield* judge.hold("pod.name.unique", !other && !seen.has(pod), twice))) continue
    pod.id = id
    seen.set(pod, state === PodSandboxState.SANDBOX_READY ? "ready" : "notReady")
  }
  return seen
})

const matchContainers = Effect.fnUntraced(function* (site: Site, listed: ReadonlyArray<Container>) {
  const { judge, model } = site
  const seen = new Map<ContainerModel, ContainerState>()
  for (const { id, metadata, podSandboxId, state } of listed) {
    const container = model.containers.find(
      (one) =>
        one.id === id || (one.id === "" && one.pod.id === podSandboxId && one.config.metadata?.name === metadata?.name)
    )
    const says = () => `ListContainers has ${id} (${metadata?.name} in ${podSandboxId})`
    if (!(yield* judge.hold("read.listed", container !== undefined, says)) || container === undefined) continue
    const other = container.id !== "" && container.id !== id
    const twice = () => `there are two containers ${metadata?.name} in ${podSandboxId}: ${container.id} and ${id}`
    if (!(yield* judge.hold("container.name.unique", !other && !seen.has(container), twice))) continue
    container.id = id
    const known = listedState[state]
    const isKnown = () => `ListContainers shows ${nameOf(container)} in state ${state}`
    yield* judge.hold("container.state", known !== undefined, isKnown)
    seen.set(container, known ?? "exited")
  }
  return seen
})

/** The ids of a target beside others' objects: ListContainers has no selector for our pods that every container carries. */
const ownContainers = (site: Site, listed: ReadonlyArray<Container>) =>
  site.target.profile.namespaces === "private"
    ? listed
    : listed.filter(({ labels }) => labels["harness/pod"]?.startsWith(site.model.prefix) === true)

export const observe = Effect.fn("observe")(function* (site: Site): Effect.fn.Return<void, Violation | RpcFailure> {
  const { judge, model, target } = site
  const { cri } = target
  const pods = yield* reading(site, "ListPodSandbox", podsOf(site))
  const containers = yield* reading(
    site,
    "ListContainers",
    cri.call("listContainers", { filter: message(ContainerFilter) })
  )
  if (pods === undefined || containers === undefined) return
  const seenPods = yield* matchPods(site, pods.items)
  const seenContainers = yield* matchContainers(site, ownContainers(site, containers.containers))

  for (const pod of model.pods) {
    const state = seenPods.get(pod) ?? "absent"
    const allowed = pod.mayEnd && pod.states.has("ready") ? new Set([...pod.states, "notReady" as const]) : pod.states
    yield* judge.hold(
      allowed.has(state) ? "pod.state" : pod.because,
      allowed.has(state),
      () => `${nameOf(pod)} is ${state}; expected ${[...allowed].join(" or ")}`
    )
    narrow(pod, state)
    if (state === "absent") continue
    const answer = yield* reading(
      site,
      `PodSandboxStatus of ${nameOf(pod)}`,
      cri.call("podSandboxStatus", { podSandboxId: pod.id, verbose: false })
    )
    if (answer?.status !== undefined) yield* checkPod(site, pod, answer.status)
  }
  for (const container of model.containers) {
    const state = seenContainers.get(container) ?? "absent"
    const mayExit = container.mayEnd && container.states.has("running")
    const allowed = mayExit ? new Set([...container.states, "exited" as const]) : container.states
    const agreed = yield* judge.hold(
      allowed.has(state) ? "container.state" : container.because,
      allowed.has(state),
      () =>
        `${nameOf(container)}, which ${container.behaviour}, is ${state}; expected ${[...allowed].join(" or ")} (its pod is ${[...container.pod.states].join(" or ")})`
    )
    narrow(container, state)
    if (state === "absent") continue
    const answer = yield* reading(site, `ContainerStatus of ${nameOf(container)}`, containerStatusOf(cri, container.id))
    if (answer?.status === undefined) continue
    // It may have exited since the list; it is not back from an exit.
    const now = listedState[answer.status.state] ?? "exited"
    if (agreed && now !== state) {
      const may = now === "exited" && (container.mayEnd || container.inFlux || allowed.has("exited"))
      yield* judge.hold(
        "container.state",
        may,
        () => `${nameOf(container)} is listed as ${state}, and its status is ${now}`
      )
      narrow(container, now)
    }
    yield* checkContainer(site, container, answer.status)
  }
})
