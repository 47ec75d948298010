/** Steps of what a client asks about pods and containers: their states and events. None changes anything. */
import { Effect, Fiber, Stream } from "effect"
import { handlers } from "../../../src/cri/handlers.ts"
import {
  ContainerState,
  ListContainersRequest,
  ListPodSandboxRequest,
  PodSandboxState,
  StreamContainersRequest,
  StreamContainersResponse,
  StreamPodSandboxesRequest,
  StreamPodSandboxesResponse
} from "../../../src/gen/runtime/v1/api.ts"
import { must, mustEqual, mustList } from "./contract.ts"
import type { Kubelet } from "./kubelet.ts"
import { blank, collected } from "./messages.ts"

const { runtime } = handlers

const idOf = ({ id }: { readonly id: string }): string => id

export const podSandboxStatus = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const request = { podSandboxId: kubelet.podId, verbose: true }
    const { status, info, containersStatuses, timestamp } = yield* runtime.PodSandboxStatus(request)
    yield* mustEqual("the pod", status?.id, kubelet.podId)
    yield* mustEqual("its metadata", status?.metadata, kubelet.podConfig.metadata)
    yield* mustEqual("its state", status?.state, PodSandboxState.SANDBOX_READY)
    yield* must(
      "a pod that is ready has an address",
      status?.network?.ip.startsWith("10.88.") === true,
      status?.network
    )
    yield* must("it was created before it was asked for", between(0n, status?.createdAt, timestamp), status?.createdAt)
    yield* mustList("its status", containersStatuses, idOf, kubelet.containerId)
    JSON.parse(info["info"] ?? "")
  })

const between = (earlier: bigint, found: bigint | undefined, later: bigint): boolean =>
  found !== undefined && earlier < found && found <= later

export const listPodSandbox = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { items } = yield* kubelet.pods
    yield* mustList("ListPodSandbox", items, idOf, kubelet.podId)
    yield* mustEqual("the pod's labels", items[0]?.labels, kubelet.podConfig.labels)
    yield* mustEqual("the pod's state", items[0]?.state, PodSandboxState.SANDBOX_READY)
    const filter = { id: "", state: { state: PodSandboxState.SANDBOX_NOTREADY }, labelSelector: {} }
    const others = yield* runtime.ListPodSandbox({ ...blank(ListPodSandboxRequest), filter })
    yield* mustEqual("pods of another state", others.items, [])
  })

export const streamPodSandboxes = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const request = blank(StreamPodSandboxesRequest)
    const messages = yield* collected(runtime.StreamPodSandboxes(request), StreamPodSandboxesResponse)
    const pods = messages.flatMap(({ podSandboxes }) => podSandboxes)
    yield* mustEqual("what StreamPodSandboxes lists", pods, (yield* kubelet.pods).items)
    yield* mustList("StreamPodSandboxes", pods, idOf, kubelet.podId)
  })

export const containerStatus = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const request = { containerId: kubelet.containerId, verbose: true }
    const { status, info } = yield* runtime.ContainerStatus(request)
    yield* mustEqual("the container", status?.id, kubelet.containerId)
    yield* mustEqual("its metadata", status?.metadata, kubelet.containerConfig.metadata)
    yield* mustEqual("its image", status?.imageId, kubelet.imageId)
    const { logDirectory } = kubelet.podConfig
    yield* mustEqual("its log", status?.logPath, `${logDirectory}/${kubelet.containerConfig.logPath}`)
    const { createdAt = 0n, startedAt = 0n, finishedAt = 0n, state } = status ?? {}
    yield* must("it started after it was created", createdAt > 0n && startedAt >= createdAt, [createdAt, startedAt])
    const ended = state === ContainerState.CONTAINER_EXITED
    yield* must("it has an end once it has ended", ended ? finishedAt >= startedAt : finishedAt === 0n, finishedAt)
    JSON.parse(info["info"] ?? "")
  })

export const listContainers = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { containers } = yield* kubelet.containers
    yield* mustList("ListContainers", containers, idOf, kubelet.containerId)
    yield* mustEqual("the container's pod", containers[0]?.podSandboxId, kubelet.podId)
    const { status } = yield* runtime.ContainerStatus({ containerId: kubelet.containerId, verbose: false })
    yield* mustEqual("its state in the list", containers[0]?.state, status?.state)
    const filter = { id: "", state: undefined, podSandboxId: "no such pod", labelSelector: {} }
    const others = yield* runtime.ListContainers({ ...blank(ListContainersRequest), filter })
    yield* mustEqual("containers of another pod", others.containers, [])
  })

export const streamContainers = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const request = blank(StreamContainersRequest)
    const messages = yield* collected(runtime.StreamContainers(request), StreamContainersResponse)
    const containers = messages.flatMap((message) => message.containers)
    yield* mustEqual("what StreamContainers lists", containers, (yield* kubelet.containers).containers)
    yield* mustList("StreamContainers", containers, idOf, kubelet.containerId)
  })

/** Nothing happens meanwhile; what does is heard at the steps that make it happen. */
export const getContainerEvents = Effect.gen(function* () {
  const listening = yield* Effect.forkChild(Stream.runDrain(runtime.GetContainerEvents({})), {
    startImmediately: true
  })
  yield* Effect.sleep(20)
  const end = listening.pollUnsafe()
  yield* must("a stream of events goes on until its client leaves", end === undefined, String(end))
  yield* Fiber.interrupt(listening)
})
