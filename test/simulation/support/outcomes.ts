/** Steps that change something: when they are answered it has happened, and who listens was told of it once. */
import { Effect, Stream } from "effect"
import { handlers } from "../../../src/cri/handlers.ts"
import {
  ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  ImageSpec,
  PodSandboxState
} from "../../../src/gen/runtime/v1/api.ts"
import { Encoded } from "../../../src/cri/adapter.ts"
import { must, mustEqual, type WorldOf } from "./contract.ts"
import type { Kubelet } from "./kubelet.ts"
import { blank } from "./messages.ts"

const { runtime, image } = handlers

const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT, CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } =
  ContainerEventType

/** Events are told apart from the answers, shortly before or after. */
const soon = Effect.sleep(50)

/** Has a client listen while a step is done: each of these events of its object comes once, in this order. */
const told = <A, E, R>(
  types: ReadonlyArray<ContainerEventType>,
  objectOf: () => string,
  step: Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    const heard: Array<ContainerEventResponse> = []
    const listen = Stream.runForEach(runtime.GetContainerEvents({}), (event) =>
      Effect.sync(() => heard.push(event instanceof Encoded ? ContainerEventResponse.decode(event.bytes) : event))
    )
    yield* Effect.forkScoped(listen, { startImmediately: true })
    yield* step
    yield* soon
    const ours = heard.filter(({ containerId }) => containerId === objectOf())
    const seen = ours.map(({ containerEventType }) => containerEventType)
    yield* mustEqual(
      "what is told of it",
      seen.filter((type) => types.includes(type)),
      types
    )
    yield* must(
      "an event has its pod",
      ours.every(({ podSandboxStatus }) => podSandboxStatus?.metadata !== undefined)
    )
  }).pipe(Effect.scoped)

const containerOf = (kubelet: Kubelet) =>
  Effect.map(runtime.ContainerStatus({ containerId: kubelet.containerId, verbose: false }), ({ status }) => status)

const podOf = (kubelet: Kubelet) =>
  Effect.map(runtime.PodSandboxStatus({ podSandboxId: kubelet.podId, verbose: false }), ({ status }) => status)

const imageOf = (kubelet: Kubelet) =>
  Effect.map(
    image.ImageStatus({ image: { ...blank(ImageSpec), image: kubelet.imageName }, verbose: false }),
    (answer) => answer.image
  )

const mustBeGone = <R>(what: string, status: Effect.Effect<unknown, { readonly _tag: string }, R>) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(status).pipe(Effect.orElseSucceed(() => undefined))
    yield* must(`${what} is not found`, error?._tag.endsWith("NotFound") === true, error)
  })

export const pullImage = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { imageRef } = yield* kubelet.pullImage
    yield* mustEqual("the image that was pulled", (yield* imageOf(kubelet))?.id, imageRef)
  })

export const runPod = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const types = [CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT]
    yield* told(types, () => kubelet.podId, kubelet.runPod)
    yield* mustEqual("the pod's state", (yield* podOf(kubelet))?.state, PodSandboxState.SANDBOX_READY)
  })

export const createContainer = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    yield* told([CONTAINER_CREATED_EVENT], () => kubelet.containerId, kubelet.createContainer)
    const container = yield* containerOf(kubelet)
    const { CONTAINER_CREATED, CONTAINER_EXITED } = ContainerState
    const known = container?.state === CONTAINER_CREATED || container?.state === CONTAINER_EXITED
    yield* must("a container that was made is created, or has died", known, container)
    yield* mustEqual("its start", container?.startedAt, 0n)
  })

export const startContainer = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    yield* told([CONTAINER_STARTED_EVENT], () => kubelet.containerId, kubelet.startContainer)
    yield* must("a container that was started has a start", ((yield* containerOf(kubelet))?.startedAt ?? 0n) > 0n)
  })

export const execSync = (kubelet: Kubelet, worldOf: WorldOf) =>
  Effect.gen(function* () {
    const { exitCode, stdout, stderr } = yield* kubelet.exec(["echo", "from exec"])
    const { struck } = worldOf().calls
    if (exitCode !== 0) return yield* must("a command fails when it is killed", struck?.where === "program", exitCode)
    yield* mustEqual(
      "the output",
      [Buffer.from(stdout).toString(), Buffer.from(stderr).toString()],
      ["from exec\n", ""]
    )
  })

/**
 * As kubelet's rotation: the log is moved away, then its writer told; when that fails it is moved back. What the
 * container writes from then on is in the new file: the last line is looked for when it has stopped.
 */
export const reopenLog = (kubelet: Kubelet, worldOf: WorldOf) =>
  Effect.gen(function* () {
    const path = (yield* containerOf(kubelet))?.logPath ?? ""
    const rotated = `${path}.20260101-000000`
    const move = (from: string, to: string) =>
      Effect.sync(() => {
        const { vfs } = worldOf()
        if (vfs.exists(from)) vfs.rename(from, to)
      })
    yield* move(path, rotated)
    yield* runtime
      .ReopenContainerLog({ containerId: kubelet.containerId })
      .pipe(Effect.onError(() => move(rotated, path)))
    yield* must("there is a new log when it is answered", worldOf().vfs.exists(path))
  })

/** What the container says last. */
export const lastLine = "bye"

export const stopContainer = (kubelet: Kubelet, worldOf: WorldOf) =>
  Effect.gen(function* () {
    const types = (yield* kubelet.isRunning) ? [CONTAINER_STOPPED_EVENT] : []
    yield* told(types, () => kubelet.containerId, kubelet.stopContainer)
    const container = yield* containerOf(kubelet)
    yield* mustEqual("its state", container?.state, ContainerState.CONTAINER_EXITED)
    yield* must("it has an end", (container?.finishedAt ?? 0n) >= (container?.startedAt ?? 0n), container)
    // Ended by itself, with a monitor that has seen it to its end.
    if (container?.exitCode !== 0) return
    const log = worldOf().vfs.readText(container.logPath)
    yield* must("all that it has said is in its log then", log.endsWith(` stdout F ${lastLine}\n`), log)
  })

export const removeContainer = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { containers } = yield* kubelet.containers
    const types = containers.some(({ id }) => id === kubelet.containerId) ? [CONTAINER_DELETED_EVENT] : []
    yield* told(types, () => kubelet.containerId, kubelet.removeContainer)
    yield* mustBeGone("a container that was removed", containerOf(kubelet))
  })

export const stopPod = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const before = yield* podOf(kubelet)
    const types = before?.state === PodSandboxState.SANDBOX_READY ? [CONTAINER_STOPPED_EVENT] : []
    yield* told(types, () => kubelet.podId, kubelet.stopPod)
    const pod = yield* podOf(kubelet)
    yield* mustEqual("the pod's state", pod?.state, PodSandboxState.SANDBOX_NOTREADY)
    yield* mustEqual("its address", pod?.network?.ip, "")
  })

export const removePod = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { items } = yield* kubelet.pods
    const types = items.some(({ id }) => id === kubelet.podId) ? [CONTAINER_DELETED_EVENT] : []
    yield* told(types, () => kubelet.podId, kubelet.removePod)
    yield* mustBeGone("a pod that was removed", podOf(kubelet))
  })

export const removeImage = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    yield* kubelet.removeImage
    yield* must("an image that was removed is unknown", (yield* imageOf(kubelet)) === undefined)
  })
