/**
 * At start: what the records say is held against what the kernel has. Containers that ran on keep running; those that
 * ended meanwhile get their true exit; starts that died half-way, and whatever has no owner, are given back.
 */
import { Clock, Duration, Effect, Option, Schedule, type Scope } from "effect"
import { Namespaces } from "../linux/Namespaces.ts"
import { Processes, type ProcessIdentity } from "../linux/Processes.ts"
import { RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { recordExit } from "./exits.ts"
import { podDirectory, podNamespaces } from "./podPlan.ts"
import type { PodRecord } from "./PodRecord.ts"
import { Pods } from "./Pods.ts"
import { PodSettings } from "./PodSettings.ts"
import { type DamagedRecord, Records } from "./Records.ts"
import { Releases } from "./Releases.ts"
import { removeContainer } from "./remove.ts"
import { rollBack } from "./rollBack.ts"
import type { Resource } from "./Resource.ts"
import { stopContainer } from "./stopContainer.ts"
import { stopPod } from "./stopPod.ts"

/** How long the monitor of a container whose process has just ended may take to write its exit file. */
const exitFilePatience = Duration.seconds(3)

const isAlive = Effect.fnUntraced(function* (identity: ProcessIdentity) {
  const found = yield* (yield* Processes).find(identity.pid)
  return Option.isSome(found) && found.value.startTime === identity.startTime && found.value.state !== "Z"
})

/** Runs on after the start, and says so when it fails for good. */
const inBackground = <A, E, R>(
  name: string,
  work: Effect.Effect<A, E, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  work.pipe(
    Effect.catchCause((cause) => Effect.logWarning(`${name} has not succeeded yet`, cause)),
    Effect.forkScoped({ startImmediately: true }),
    Effect.asVoid
  )

const reconcileContainer = Effect.fn("reconcileContainer")(function* (container: ContainerRecord) {
  const pods = yield* Pods
  const settings = yield* PodSettings
  const { id, state } = container
  if (state._tag === "Exited" || state._tag === "Creating") return
  const lost = (message: string) =>
    Effect.flatMap(
      Effect.clockWith((clock) => clock.currentTimeNanos),
      (now) => pods.moveContainer(id, { _tag: "Exited", exitCode: 255, finishedAtNs: now, reason: "Unknown", message })
    )
  if (container.bootId !== settings.bootId) {
    yield* lost("the node was restarted")
    return
  }
  yield* recordExit(id)
  if (yield* isAlive(state)) {
    if (state._tag === "Stopping") {
      const graceMs = state.deadlineMs - (yield* Clock.currentTimeMillis)
      yield* inBackground(`stop of container ${id}`, stopContainer(id, Math.max(0, graceMs / 1000)))
    }
    return
  }
  const recorded = Effect.andThen(
    recordExit(id),
    Effect.map(pods.container(id), (now) => now.state._tag === "Exited")
  )
  const exited = yield* recorded.pipe(
    Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: (done) => done }),
    Effect.timeoutOption(exitFilePatience)
  )
  if (Option.isNone(exited)) yield* lost("it ended while no monitor was there to record its exit code")
})

const reconcilePod = Effect.fn("reconcilePod")(function* (pod: PodRecord) {
  const pods = yield* Pods
  const namespaces = yield* Namespaces
  const settings = yield* PodSettings
  const lost = (reason: string) =>
    pods
      .move(pod.id, { _tag: "Lost", reason })
      .pipe(Effect.andThen(inBackground(`release of pod ${pod.id}`, stopPod(pod.id))))
  switch (pod.state._tag) {
    case "Starting":
      return yield* inBackground(`roll back of ${pod.id}`, rollBack(pod.id))
    case "NotReady":
    case "Stopping":
      return yield* inBackground(`stop of pod ${pod.id}`, stopPod(pod.id))
    case "Ready": {
      if (pod.bootId !== settings.bootId) return yield* lost("the node was restarted")
      if (pod.pause !== null && !(yield* isAlive(pod.pause))) {
        return yield* lost("the process that holds its PID namespace has ended")
      }
      for (const { path } of podNamespaces(settings.namespacesDirectory, pod)) {
        if (!(yield* namespaces.isPinned(path))) return yield* lost(`its namespace ${path} is gone`)
      }
    }
  }
})

/** All that an object of this id can hold: its own record cannot be asked any more, but everything is named by its id. */
const possibleRows = Effect.fnUntraced(function* ({ kind, id }: DamagedRecord) {
  const settings = yield* PodSettings
  const handlers = yield* (yield* RuntimeHandlers).list
  const directory = podDirectory(settings.runDirectory, id)
  const store = yield* ContainerStore
  const runtime: ReadonlyArray<Resource> = [
    { _tag: "Layer", containerId: id },
    ...handlers.map(({ name }) => ({
      _tag: "Runtime" as const,
      containerId: id,
      handler: name,
      bundle: kind === "pods" ? `${directory}/pause` : store.runDirectory(id),
      cgroup: ""
    }))
  ]
  if (kind === "containers") return runtime
  const pins = podNamespaces(settings.namespacesDirectory, {
    id,
    namespaces: { network: "pod", ipc: "pod", pid: "container" }
  })
  const attachment = {
    podId: id,
    podName: "",
    podNamespace: "",
    podUid: "",
    netnsPath: `${settings.namespacesDirectory}/netns/${id}`,
    interfaceName: "eth0",
    portMappings: [],
    annotations: {}
  }
  const pod: ReadonlyArray<Resource> = [
    { _tag: "Directory", path: directory },
    { _tag: "Mount", path: `${directory}/shm` },
    ...pins.map(({ path }) => ({ _tag: "Namespace" as const, path })),
    { _tag: "Network", attachment }
  ]
  return [...pod, ...runtime]
})

const salvage = Effect.fn("salvage")(function* (record: DamagedRecord) {
  const records = yield* Records
  const releases = yield* Releases
  yield* Effect.logError(
    `the record ${record.path} is damaged (${record.reason}); what it names is given back, the file is kept as ${record.path}.bad`
  )
  const rows = yield* possibleRows(record)
  yield* inBackground(
    `release of damaged ${record.id}`,
    releases.insist(
      `release of damaged ${record.id}`,
      Effect.andThen(releases.release(record.id, rows), records.setAside(record))
    )
  )
})

/** Takes the records over. Background work goes to the caller's scope. */
export const recover = Effect.gen(function* () {
  const records = yield* Records
  const pods = yield* Pods
  const found = yield* records.loadAll
  yield* pods.adopt(found.pods, found.containers)
  yield* Effect.forEach(found.damaged, salvage, { discard: true })
  const known = new Set(found.pods.map(({ id }) => id))
  yield* Effect.forEach(
    found.containers,
    (container) => {
      if (container.state._tag === "Creating") {
        return inBackground(`roll back of ${container.id}`, rollBack(container.id))
      }
      const reconciled = reconcileContainer(container)
      return known.has(container.podId)
        ? reconciled
        : Effect.andThen(
            reconciled,
            inBackground(`removal of container ${container.id}`, removeContainer(container.id))
          )
    },
    { concurrency: 16, discard: true }
  )
  yield* Effect.forEach(found.pods, reconcilePod, { concurrency: 16, discard: true })
  yield* Effect.logInfo(
    `recovered ${found.pods.length} pods and ${found.containers.length} containers, ${found.damaged.length} damaged records`
  )
})
