/**
 * At start: what the records say is held against what the kernel has. Containers that ran on keep running; those that
 * ended meanwhile get their true exit; starts that died half-way, and whatever has no owner, are given back.
 */
import { Clock, Duration, Effect, type Scope } from "effect"
import { Cni } from "../cni/Cni.ts"
import { Namespaces } from "../linux/Namespaces.ts"
import { OciRuntime } from "../oci/OciRuntime.ts"
import { RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { Events } from "./Events.ts"
import { endStragglers, followExits, hasExited, isAlive, settleExit } from "./exits.ts"
import { Jobs } from "./Jobs.ts"
import { podNamespaces } from "./podPlan.ts"
import type { PodRecord } from "./PodRecord.ts"
import { Pods } from "./Pods.ts"
import { PodSettings } from "./PodSettings.ts"
import { Records } from "./Records.ts"
import { removeContainer } from "./remove.ts"
import { rollBack, rollBackOf } from "./rollBack.ts"
import { salvage } from "./salvage.ts"
import { stopContainer } from "./stopContainer.ts"
import { stopPod } from "./stopPod.ts"
import { strayLayers } from "./strayLayers.ts"
import { restoreLimits } from "./updateContainer.ts"

/** How long the monitor of a container whose process has just ended may take to write its exit file. */
const exitFilePatience = Duration.seconds(3)

/** Shown by a pod or container that died half-way with the daemon and cannot be given back yet. */
const interruptedStart = "cricket ended before its start was complete"

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

/** The daemon may have died after the runtime started the process and before its record said so. */
const adoptStart = Effect.fnUntraced(function* ({ id, handler, platform }: ContainerRecord) {
  const runtime = yield* OciRuntime
  const { status } = yield* runtime.state(yield* (yield* RuntimeHandlers).get(handler, platform), id)
  if (status !== "running") return
  yield* (yield* Pods).moveContainer(id, { _tag: "Started", atNs: yield* Clock.currentTimeNanos })
})

/** A client that never got its answer asks for the same thing again: that start waits until this one is given back. */
const giveBack = Effect.fnUntraced(function* (id: string) {
  const jobs = yield* Jobs
  yield* inBackground(rollBackOf(id), jobs.attach(rollBackOf(id), rollBack(id, interruptedStart)))
})

const reconcileContainer = Effect.fn("reconcileContainer")(function* (container: ContainerRecord) {
  const pods = yield* Pods
  const settings = yield* PodSettings
  const { id, state } = container
  if (container.resizing !== undefined) yield* Effect.ignore(restoreLimits(id))
  if (state._tag === "Exited" || state._tag === "Creating") return
  if (container.bootId !== settings.bootId) {
    yield* pods.moveContainer(id, {
      _tag: "Exited",
      exitCode: 255,
      finishedAtNs: yield* Clock.currentTimeNanos,
      reason: "Unknown",
      message: "the node was restarted"
    })
    return
  }
  if (yield* isAlive(state)) {
    if (state._tag === "Created") yield* adoptStart(container)
    if (state._tag === "Stopping") {
      const graceMs = state.deadlineMs - (yield* Clock.currentTimeMillis)
      yield* inBackground(`stop of container ${id}`, stopContainer(id, Math.max(0, graceMs / 1000)))
    }
    return
  }
  // A monitor that takes longer is waited for by those who follow the exits.
  yield* Effect.timeoutOption(settleExit(id), exitFilePatience)
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
      return yield* giveBack(pod.id)
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

/** Networks that can do so give back what no record names. Starts with the call: a pod that comes later is no orphan. */
const collectNetworks = Effect.gen(function* () {
  const cni = yield* Cni
  const { pods } = yield* (yield* Pods).snapshot
  const rows = Array.from(pods.values()).flatMap(({ resources }) => resources)
  yield* cni.gc(rows.flatMap((row) => (row._tag === "Network" ? [row.attachment] : [])))
})

/** Takes the records over, and the exits from then on. Background work goes to the caller's scope. */
export const recover = Effect.gen(function* () {
  const records = yield* Records
  const pods = yield* Pods
  yield* Effect.catch((yield* OciRuntime).sweep, (error) =>
    Effect.logWarning(`files of commands that ran in containers stay: ${error.message}`)
  )
  const found = yield* records.loadAll
  yield* pods.adopt(found.pods, found.containers)
  yield* followExits
  yield* Effect.forEach(found.damaged, (record) => inBackground(`salvage of ${record.id}`, salvage(record)))

  for (const { id, release } of yield* strayLayers(found)) yield* inBackground(`removal of layer ${id}`, release)

  const livingPods = new Set(found.pods.map(({ id }) => id))
  const takeOver = Effect.fnUntraced(function* (container: ContainerRecord) {
    const { id, podId, state } = container
    if (state._tag === "Creating") return yield* giveBack(id)
    yield* reconcileContainer(container)
    if (!livingPods.has(podId)) yield* inBackground(`removal of container ${id}`, removeContainer(id))
  })
  // Pods after containers: a lost pod stops what is left of its containers.
  yield* Effect.forEach(found.containers, (one) => tolerating(one.id, takeOver(one)), limits)
  yield* Effect.forEach(found.pods, (one) => tolerating(one.id, reconcilePod(one)), limits)
  yield* (yield* Events).recovered
  const ended = found.containers.filter(hasExited)
  yield* inBackground("the end of what ended containers have left", Effect.forEach(ended, endStragglers, limits))
  yield* inBackground("the removal of attachments without a pod", collectNetworks)
  yield* Effect.logInfo(
    `recovered ${found.pods.length} pods and ${found.containers.length} containers, ${found.damaged.length} damaged records`
  )
})

const limits = { concurrency: 16, discard: true } as const

/** One object that cannot be reconciled keeps its record and says why; the others are served. */
const tolerating = <A, E, R>(id: string, self: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  self.pipe(
    Effect.asVoid,
    Effect.catchCause((cause) => Effect.logError(`${id} could not be reconciled with the host`, cause))
  )
