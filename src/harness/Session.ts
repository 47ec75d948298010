/** A target that has been warmed up, with the host's state to come back to, and the clean-up after each scenario. */
import { Effect, type Scope } from "effect"
import { Files } from "../linux/Files.ts"
import { isGone, type LinuxError } from "../linux/LinuxError.ts"
import type { RpcFailure } from "./Cri.ts"
import { TargetError, type Violation } from "./HarnessError.ts"
import { cgroupMounts, type Difference, differences, type HostState, readHostState } from "./HostState.ts"
import { awaitEnds } from "./internal/ends.ts"
import { eventually } from "./internal/eventually.ts"
import { checkInvariants } from "./internal/invariants.ts"
import { observe, podsOf } from "./internal/observe.ts"
import { makeContainer, makePod, nameOf } from "./internal/requests.ts"
import { type Judge, makeOnlooker } from "./Judge.ts"
import { makeModel } from "./Model.ts"
import type { Services, Site } from "./Operation.ts"
import { imageSpec, pullImage } from "./operations/images.ts"
import { checkLog } from "./operations/logs.ts"
import { hostKinds, type Profile } from "./Profile.ts"
import { openTarget, type Target, type TargetOptions } from "./Target.ts"

export interface Session {
  readonly target: Target
  /** After the first pod: what a network and its plugins keep belongs to it. */
  readonly baseline: HostState
  /** Differences that are known and were found before: not found again after each of the next scenarios. */
  readonly left: Set<string>
  /** The daemon after the last scenario. */
  daemon: HostState["daemon"]
}

/** A registry beside the target may need a second to listen. */
const firstPull = Effect.fnUntraced(function* (target: Target, image: string) {
  const pulled = yield* eventually(20, Effect.result(pullImage(target.cri, image)), ({ _tag }) => _tag === "Success")
  if (pulled._tag === "Success") return
  return yield* new TargetError({
    target: target.profile.name,
    action: `pull ${image}`,
    reason: pulled.failure.message
  })
})

const makeLogDirectory = Effect.fnUntraced(function* (target: Target, path: string) {
  yield* (yield* Files).makeDirectory(target.seen(path), { recursive: true })
})

/** A pod of each kind lives once, so that what stays by design is there. */
const warmUp = Effect.fnUntraced(function* (target: Target) {
  const { cri, profile } = target
  const model = makeModel(`warm-${target.started}`)
  const can = (name: string) => profile.capabilities.includes(name)
  const plain = { hostNetwork: false, sharedPid: can("sharedPid"), hostPort: can("hostPorts") }
  for (const handler of profile.handlers) {
    const pod = makePod(model, target, { ...plain, handler })
    yield* makeLogDirectory(target, pod.config.logDirectory)
    const { podSandboxId } = yield* cri.call("runPodSandbox", { config: pod.config, runtimeHandler: handler })
    const { config } = makeContainer(model, pod, "sleeps", profile.images.main, [])
    const { containerId } = yield* cri.call("createContainer", { podSandboxId, config, sandboxConfig: pod.config })
    yield* cri.call("startContainer", { containerId })
    yield* cri.call("execSync", { containerId, cmd: ["true"], timeout: 10n })
    yield* cri.call("stopPodSandbox", { podSandboxId })
    yield* cri.call("removePodSandbox", { podSandboxId })
  }
})

/** Cgroups that kubelet would have made and would remove, from the innermost. What is not empty stays, and is found. */
const removePodCgroups = Effect.fnUntraced(function* (target: Target) {
  const files = yield* Files
  for (const mount of yield* cgroupMounts(target)) {
    const parent = target.seen(`${mount}${target.profile.cgroupParent}`)
    const pods = yield* files.readDirectoryEntries(parent).pipe(Effect.catchIf(isGone, () => Effect.succeed([])))
    for (const { name, kind } of pods) {
      if (kind === "directory") yield* Effect.ignore(files.removeDirectory(`${parent}/${name}`))
    }
    yield* Effect.ignore(files.removeDirectory(parent))
  }
})

/** Opens a target, pulls what pods need, lets a first pod live, and reads the host. */
export const openSession = Effect.fn("openSession")(function* (
  options: TargetOptions
): Effect.fn.Return<Session, TargetError | LinuxError, Services | Scope.Scope> {
  const target = yield* openTarget(options)
  const { main, spare } = target.profile.images
  yield* firstPull(target, main)
  const failed = (action: string) => (error: RpcFailure | LinuxError) =>
    new TargetError({ target: target.profile.name, action, reason: error.message })
  if (spare !== undefined) {
    yield* firstPull(target, spare)
    yield* target.cri.call("removeImage", { image: imageSpec(spare) }).pipe(Effect.mapError(failed("remove an image")))
  }
  yield* warmUp(target).pipe(Effect.mapError(failed("run a first pod")))
  const read = Effect.andThen(removePodCgroups(target), readHostState(target))
  const isQuiet = (state: HostState) => state.lines.processes.length === 0 && state.lines.cgroups.length === 0
  const baseline = yield* eventually(target.profile.limits.settle, read, isQuiet)
  return { target, baseline, left: new Set(), daemon: baseline.daemon }
})

/** What ends by itself has ended by now. */
const checkEnds = Effect.fnUntraced(function* (site: Site) {
  const { settle } = site.target.profile.limits
  for (const { container, ended } of yield* awaitEnds(site)) {
    yield* site.judge.hold(
      "container.exit.noticed",
      ended,
      () => `${nameOf(container)}, which ${container.behaviour}, is not EXITED after ${settle} s`
    )
  }
})

/** As kubelet does: all that is listed is stopped and removed, again until nothing is. */
const removeAll = Effect.fnUntraced(function* (site: Site) {
  const { judge, target } = site
  const { cri } = target
  const round = Effect.gen(function* () {
    const { items } = yield* podsOf(site)
    for (const { id } of items) {
      yield* cri
        .call("stopPodSandbox", { podSandboxId: id })
        .pipe(
          Effect.tapError(({ message }) => judge.hold("pod.stop.idempotent", false, () => `in clean-up: ${message}`))
        )
      yield* cri
        .call("removePodSandbox", { podSandboxId: id })
        .pipe(
          Effect.tapError(({ message }) => judge.hold("pod.remove.idempotent", false, () => `in clean-up: ${message}`))
        )
    }
    return items.length
  }).pipe(Effect.catchTag("RpcFailure", () => Effect.succeed(1)))
  const left = yield* eventually(target.profile.limits.settle, round, (count) => count === 0)
  yield* judge.hold("host.listed", left === 0, () => `${left} pods are listed after clean-up`)
})

/** What a violation has left in a target that goes on: only ours, and without a verdict. */
export const abandon = Effect.fn("abandon")(function* (site: Site) {
  yield* Effect.ignore(removeAll({ ...site, judge: makeOnlooker() }))
  yield* removeLogs(site)
})

const checkLogs = Effect.fnUntraced(function* (site: Site) {
  const files = yield* Files
  for (const container of site.model.containers) {
    if (container.createdAt === 0n || container.logs === undefined) continue
    yield* checkLog(site, container)
    if (!container.wasStarted || container.startedAt === 0n) continue
    const path = container.logs[0] ?? ""
    const isThere = yield* files.lstat(site.target.seen(path)).pipe(
      Effect.as(true),
      Effect.catchIf(isGone, () => Effect.succeed(false))
    )
    yield* site.judge.hold("log.kept", isThere, () => `${path} of ${nameOf(container)} is gone`)
  }
})

/** Each by itself: one may be known, and the next one not. */
const holdHost = Effect.fnUntraced(function* (
  judge: Judge,
  compared: Profile["compared"],
  now: HostState,
  found: ReadonlyArray<Difference>
) {
  for (const { kind, text } of found) {
    yield* judge.hold(
      `host.${kind}`,
      false,
      () => `${text}${found.length === 1 ? "" : ` (of ${found.length} differences)`}`
    )
  }
  for (const kind of hostKinds) {
    const wasRead = now.daemon !== undefined || (kind !== "descriptors" && kind !== "memory")
    if (wasRead && compared.includes(kind) && !found.some((one) => one.kind === kind)) {
      yield* judge.hold(`host.${kind}`, true, () => "")
    }
  }
})

const removeLogs = Effect.fnUntraced(function* ({ model, target }: Site) {
  const files = yield* Files
  for (const { config } of model.pods) yield* Effect.ignore(files.removeTree(target.seen(config.logDirectory)))
})

/** After a scenario: everything is removed, and the host is as it was. */
export const finish = Effect.fn("finish")(function* (
  session: Session,
  site: Site
): Effect.fn.Return<void, Violation | RpcFailure | LinuxError | TargetError, Services> {
  const { target, baseline } = session
  const { judge } = site
  yield* checkEnds(site)
  yield* observe(site)
  yield* removeAll(site)
  for (const object of [...site.model.pods, ...site.model.containers]) {
    object.states = new Set(["absent"])
    object.inFlux = false
    object.because = "pod" in object ? "container.remove.gone" : "pod.remove.gone"
  }
  yield* observe(site)
  yield* checkLogs(site)
  const { spare } = target.profile.images
  if (spare !== undefined) {
    yield* target.cri
      .call("removeImage", { image: imageSpec(spare) })
      .pipe(Effect.catch(({ message }) => judge.hold("image.remove", false, () => `in clean-up: ${message}`)))
  }
  const unknown = (found: ReadonlyArray<Difference>) =>
    found.filter(({ kind, text }) => !judge.knows(`host.${kind}`, text))
  // How much it has grown by is another number each time.
  const keyOf = ({ kind, text }: Difference) => (kind === "descriptors" || kind === "memory" ? kind : `${kind} ${text}`)
  const look = Effect.map(readHostState(target), (now) => ({
    now,
    found: differences(baseline, now, target.profile.limits).filter((one) => !session.left.has(keyOf(one)))
  }))
  const { now, found } = yield* eventually(
    target.profile.limits.settle,
    look,
    ({ found }) => unknown(found).length === 0
  )
  yield* holdHost(judge, target.profile.compared, now, found)
  for (const one of found) session.left.add(keyOf(one))
  session.daemon = now.daemon
  yield* checkInvariants(site, "scenario")
  yield* removePodCgroups(target)
  yield* removeLogs(site)
})
