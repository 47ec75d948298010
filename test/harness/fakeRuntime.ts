/**
 * A CRI runtime that only pretends: pods and containers in memory, behind a real socket. With a fault it breaks a rule,
 * which the harness has to find.
 */
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  status,
  type UntypedServiceImplementation
} from "@grpc/grpc-js"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import {
  Container,
  type ContainerConfig,
  ContainerState,
  ContainerStatus,
  CreateContainerRequest,
  type ExecRequest,
  Image,
  ImageServiceService,
  type ListPodSandboxRequest,
  type PodSandboxConfig,
  PodSandboxState,
  PodSandboxStatus,
  RunPodSandboxRequest,
  RuntimeServiceService
} from "../../src/gen/runtime/v1/api.ts"
import { message } from "../../src/harness/Cri.ts"
import { startFakeStreams, type StreamFault } from "./fakeStreams.ts"

export type Fault =
  | "none"
  /** Of two RemovePodSandbox at the same time one fails. */
  | "remove-twice"
  /** Every exit code is 0. */
  | "exit-code"
  /** A removed container is still listed. */
  | "listed-for-ever"
  /** A retried RunPodSandbox makes a second pod. */
  | "two-pods"
  /** StopPodSandbox leaves containers running. */
  | "stop-pod"
  /** The start of a container is read anew each time. */
  | "start-time"
  /** Never answers RemoveContainer of one that was started: whether it still runs would be a matter of milliseconds. */
  | "hangs"
  /** The reason of a container that outgrew its memory is any other's. */
  | "no-oom"
  /** An image takes the containers with it that stand on it. */
  | "used-image"
  /** A pod without containers is listed without its time. */
  | "half-made"
  /** Its network is not ready. */
  | "not-ready"

interface Pod {
  readonly id: string
  readonly config: PodSandboxConfig
  readonly handler: string
  readonly createdAt: bigint
  readonly ip: string
  ready: boolean
}

interface FakeContainer {
  readonly id: string
  readonly pod: Pod
  readonly config: ContainerConfig
  readonly createdAt: bigint
  startedAt: bigint
  finishedAt: bigint
  exitCode: number
  state: ContainerState
}

const labelled =
  (selector: Readonly<Record<string, string>>) =>
  ({ config }: Pod) =>
    Object.entries(selector).every(([key, value]) => config.labels[key] === value)

const now = () => BigInt(Date.now()) * 1_000_000n

class Refused extends Error {
  readonly code: status
  constructor(code: status, text: string) {
    super(text)
    this.code = code
  }
}

const notFound = (id: string) => new Refused(status.NOT_FOUND, `${id} not found`)

export const startFakeRuntime = async (socket: string, fault: Fault, streamFault: StreamFault = "none") => {
  const streams = await startFakeStreams(streamFault)
  const pods = new Map<string, Pod>()
  const containers = new Map<string, FakeContainer>()
  const images = new Set<string>()
  /** Pod and port. */
  const listening = new Set<string>()
  let count = 0
  const id = () => (++count).toString(16).padStart(64, "0")

  const end = (container: FakeContainer, code: number) => {
    if (container.state === ContainerState.CONTAINER_EXITED) return
    container.state = ContainerState.CONTAINER_EXITED
    container.exitCode = fault === "exit-code" ? 0 : code
    container.finishedAt = now()
  }
  const inPod = (pod: Pod) => [...containers.values()].filter((one) => one.pod === pod)
  const stopPod = (pod: Pod) => {
    pod.ready = false
    if (fault !== "stop-pod") for (const container of inPod(pod)) end(container, 137)
  }
  const removing = new Set<string>()
  const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

  const podOf = (wanted: string): Pod => {
    const pod = pods.get(wanted)
    if (pod === undefined) throw notFound(wanted)
    return pod
  }
  const containerOf = (wanted: string): FakeContainer => {
    const container = containers.get(wanted)
    if (container === undefined) throw notFound(wanted)
    return container
  }
  const podState = ({ ready }: Pod) => (ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY)

  const runPod = ({ config, runtimeHandler }: RunPodSandboxRequest) => {
    const metadata = config?.metadata
    if (config === undefined || metadata === undefined) throw new Refused(status.INVALID_ARGUMENT, "no metadata")
    if (runtimeHandler !== "") throw new Refused(status.INVALID_ARGUMENT, `no handler ${runtimeHandler}`)
    const same = [...pods.values()].find((one) => one.config.metadata?.uid === metadata.uid)
    if (same !== undefined && fault !== "two-pods") return { podSandboxId: same.id }
    const pod: Pod = {
      id: id(),
      config,
      handler: runtimeHandler,
      createdAt: now(),
      ip: `10.0.${count >> 8}.${count & 255}`,
      ready: true
    }
    pods.set(pod.id, pod)
    return { podSandboxId: pod.id }
  }

  const create = ({ podSandboxId, config }: CreateContainerRequest) => {
    const pod = podOf(podSandboxId)
    if (!pod.ready || config === undefined) throw new Refused(status.FAILED_PRECONDITION, "the pod is not ready")
    if (!images.has(config.image?.image ?? "")) throw new Refused(status.NOT_FOUND, "no image")
    const same = inPod(pod).find((one) => one.config.metadata?.name === config.metadata?.name)
    if (same !== undefined) return { containerId: same.id }
    const container: FakeContainer = {
      id: id(),
      pod,
      config,
      createdAt: now(),
      startedAt: 0n,
      finishedAt: 0n,
      exitCode: 0,
      state: ContainerState.CONTAINER_CREATED
    }
    containers.set(container.id, container)
    return { containerId: container.id }
  }

  const start = (wanted: string) => {
    const container = containerOf(wanted)
    if (container.state !== ContainerState.CONTAINER_CREATED) {
      throw new Refused(status.FAILED_PRECONDITION, "not created")
    }
    container.state = ContainerState.CONTAINER_RUNNING
    container.startedAt = now()
    const log = `${container.pod.config.logDirectory}/${container.config.logPath}`
    mkdirSync(dirname(log), { recursive: true })
    writeFileSync(log, "")
    const script = container.config.command.at(-1)
    if (script === "exit 3") setTimeout(() => end(container, 3), 20)
    if (script === "echo done") setTimeout(() => end(container, 0), 20)
    if (container.config.command[0] === "dd") setTimeout(() => end(container, 137), 20)
    return {}
  }

  const statusOf = (container: FakeContainer) =>
    message(ContainerStatus, {
      id: container.id,
      metadata: container.config.metadata,
      state: container.state,
      createdAt: container.createdAt,
      startedAt: fault === "start-time" && container.startedAt > 0n ? now() : container.startedAt,
      finishedAt: fault === "start-time" && container.finishedAt > 0n ? now() : container.finishedAt,
      exitCode: container.exitCode,
      reason:
        container.state !== ContainerState.CONTAINER_EXITED
          ? ""
          : container.exitCode === 0
            ? "Completed"
            : container.config.command[0] === "dd" && fault !== "no-oom"
              ? "OOMKilled"
              : "Error",
      image: container.config.image,
      imageRef: "image",
      imageId: "image",
      labels: container.config.labels,
      annotations: container.config.annotations,
      logPath: `${container.pod.config.logDirectory}/${container.config.logPath}`
    })

  const gone = new Map<string, FakeContainer>()
  const drop = (container: FakeContainer) => {
    containers.delete(container.id)
    if (fault === "listed-for-ever") gone.set(container.id, container)
  }

  const imageOf = (name: string) => message(Image, { id: `id of ${name}`, repoTags: [name], size: 1n })

  const runtime: Record<string, (request: never) => unknown> = {
    version: () => ({ version: "0.1.0", runtimeName: "fake", runtimeVersion: "1", runtimeApiVersion: "v1" }),
    status: () => ({
      status: {
        conditions: ["RuntimeReady", "NetworkReady"].map((type) => {
          const isReady = fault !== "not-ready" || type === "RuntimeReady"
          return { type, status: isReady, reason: "", message: isReady ? "" : "no network" }
        })
      },
      info: {},
      runtimeHandlers: [],
      features: undefined
    }),
    runPodSandbox: runPod,
    stopPodSandbox: ({ podSandboxId }: { podSandboxId: string }) => {
      const pod = pods.get(podSandboxId)
      if (pod !== undefined) stopPod(pod)
      return {}
    },
    removePodSandbox: async ({ podSandboxId }: { podSandboxId: string }) => {
      const pod = pods.get(podSandboxId)
      if (pod === undefined) return {}
      if (removing.has(podSandboxId) && fault === "remove-twice") throw notFound(podSandboxId)
      removing.add(podSandboxId)
      await pause(5)
      stopPod(pod)
      for (const container of inPod(pod)) drop(container)
      pods.delete(podSandboxId)
      return {}
    },
    podSandboxStatus: ({ podSandboxId }: { podSandboxId: string }) => {
      const pod = podOf(podSandboxId)
      const { config } = pod
      return {
        status: message(PodSandboxStatus, {
          id: pod.id,
          metadata: config.metadata,
          state: podState(pod),
          createdAt: pod.createdAt,
          network: { ip: pod.ready ? pod.ip : "", additionalIps: [] },
          linux: { namespaces: { options: config.linux?.securityContext?.namespaceOptions } },
          labels: config.labels,
          annotations: config.annotations,
          runtimeHandler: pod.handler
        }),
        info: {},
        containersStatuses: [],
        timestamp: 0n
      }
    },
    listPodSandbox: ({ filter }: ListPodSandboxRequest) => ({
      items: [...pods.values()].filter(labelled(filter?.labelSelector ?? {})).map((pod) => ({
        id: pod.id,
        metadata: pod.config.metadata,
        state: podState(pod),
        createdAt: fault === "half-made" && inPod(pod).length === 0 ? 0n : pod.createdAt,
        labels: pod.config.labels,
        annotations: pod.config.annotations,
        runtimeHandler: pod.handler
      }))
    }),
    createContainer: create,
    startContainer: ({ containerId }: { containerId: string }) => start(containerId),
    stopContainer: ({ containerId }: { containerId: string }) => {
      const container = containers.get(containerId)
      if (container !== undefined) end(container, 137)
      return {}
    },
    removeContainer: ({ containerId }: { containerId: string }) => {
      const container = containers.get(containerId)
      if (container === undefined) return {}
      if (fault === "hangs" && container.state !== ContainerState.CONTAINER_CREATED) return new Promise(() => {})
      drop(container)
      return {}
    },
    containerStatus: ({ containerId }: { containerId: string }) => ({
      status: statusOf(gone.get(containerId) ?? containerOf(containerId)),
      info: {}
    }),
    listContainers: () => ({
      containers: [...containers.values(), ...gone.values()].map((one) =>
        message(Container, {
          id: one.id,
          podSandboxId: one.pod.id,
          metadata: one.config.metadata,
          image: one.config.image,
          imageRef: "image",
          state: one.state,
          createdAt: one.createdAt,
          labels: one.config.labels,
          annotations: one.config.annotations
        })
      )
    }),
    listContainerStats: () => ({ stats: [] }),
    exec: ({ containerId, cmd, stdin, tty }: ExecRequest) => {
      if (containerOf(containerId).state !== ContainerState.CONTAINER_RUNNING) {
        throw new Refused(status.FAILED_PRECONDITION, "not running")
      }
      return { url: streams.urlFor({ cmd, stdin, tty }) }
    },
    attach: ({ containerId, stdin }: { containerId: string; stdin: boolean }) => {
      if (containerOf(containerId).state !== ContainerState.CONTAINER_RUNNING) {
        throw new Refused(status.FAILED_PRECONDITION, "not running")
      }
      // What it writes from now on is what its program writes.
      return { url: streams.urlFor({ cmd: containerOf(containerId).config.command, stdin, tty: false }) }
    },
    portForward: ({ podSandboxId, port: [port = 0] }: { podSandboxId: string; port: Array<number> }) => ({
      url: streams.urlFor({ port, open: podOf(podSandboxId).ready && listening.has(`${podSandboxId} ${port}`) })
    }),
    execSync: ({ containerId, cmd }: { containerId: string; cmd: Array<string> }) => {
      if (containerOf(containerId).state !== ContainerState.CONTAINER_RUNNING) {
        throw new Refused(status.FAILED_PRECONDITION, "not running")
      }
      const [, port] = /nc -l -p (\d+)/.exec(cmd.at(-1) ?? "") ?? []
      if (port !== undefined) listening.add(`${containerOf(containerId).pod.id} ${port}`)
      const stdout = cmd[0] === "echo" ? `${cmd.slice(1).join(" ")}\n` : ""
      return { stdout: Buffer.from(stdout), stderr: Buffer.alloc(0), exitCode: 0 }
    }
  }
  const imageService: Record<string, (request: never) => unknown> = {
    pullImage: ({ image }: { image: { image: string } }) => {
      images.add(image.image)
      return { imageRef: imageOf(image.image).id }
    },
    imageStatus: ({ image }: { image: { image: string } }) => ({
      image: images.has(image.image) ? imageOf(image.image) : undefined,
      info: {}
    }),
    listImages: () => ({ images: [...images].map(imageOf) }),
    removeImage: ({ image }: { image: { image: string } }) => {
      images.delete(image.image)
      if (fault === "used-image") {
        for (const container of containers.values())
          if (container.config.image?.image === image.image) end(container, 137)
      }
      return {}
    },
    imageFsInfo: () => ({ imageFilesystems: [], containerFilesystems: [] })
  }

  const implementation = (methods: typeof runtime): UntypedServiceImplementation =>
    Object.fromEntries(
      Object.entries(methods).map(([name, handle]) => [
        name,
        (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
          Promise.resolve()
            .then(() => handle(call.request as never))
            .then(
              (value) => answer(null, value),
              (error: Refused) => answer({ code: error.code ?? status.INTERNAL, details: error.message })
            )
        }
      ])
    )
  const server = new Server()
  server.addService(RuntimeServiceService, implementation(runtime))
  server.addService(ImageServiceService, implementation(imageService))
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error)
    )
  )
  const stop = () => {
    streams.stop()
    server.forceShutdown()
  }
  return { pods, containers, stop }
}
