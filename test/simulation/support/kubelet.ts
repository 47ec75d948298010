/** A client that does what kubelet does: reaches a state step by step, replaces what is broken, removes everything. */
import { Effect, Stream } from "effect"
import { handlers } from "../../../src/cri/handlers.ts"
import { CgroupLimits } from "../../../src/cgroup/CgroupLimits.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import {
  ContainerState,
  CreateContainerRequest,
  ExecSyncRequest,
  ImageSpec,
  ListContainersRequest,
  ListContainersResponse,
  ListContainerStatsRequest,
  ListContainerStatsResponse,
  ListImagesRequest,
  ListImagesResponse,
  ListPodSandboxMetricsResponse,
  ListPodSandboxRequest,
  ListPodSandboxResponse,
  ListPodSandboxStatsRequest,
  Mount,
  NamespaceMode,
  NamespaceOption,
  PodSandboxConfig,
  PodSandboxState,
  PortMapping,
  PullImageRequest,
  RemoveImageRequest,
  RunPodSandboxRequest,
  ContainerConfig,
  LinuxContainerResources,
  LinuxContainerConfig,
  LinuxContainerSecurityContext,
  LinuxPodSandboxConfig,
  LinuxSandboxSecurityContext,
  StopContainerRequest,
  StreamContainerStatsRequest,
  StreamPodSandboxStatsRequest,
  UpdateContainerResourcesRequest
} from "../../../src/gen/runtime/v1/api.ts"
import { blank, decoded } from "./messages.ts"

const { runtime, image } = handlers

const ids = [{ hostId: 70_000, containerId: 0, length: 65_536 }]

/** A container in the PID namespace of its pod. */
const sharing: LinuxContainerConfig = {
  ...blank(LinuxContainerConfig),
  securityContext: {
    ...blank(LinuxContainerSecurityContext),
    namespaceOptions: { ...blank(NamespaceOption), pid: NamespaceMode.POD }
  }
}

export interface PodShape {
  readonly imageName: string
  readonly args: ReadonlyArray<string>
  /** The image is mounted here as well. */
  readonly imageVolume?: string
  /** The pod has a user namespace of its own, and this directory of the host is a volume with its ids. */
  readonly mappedVolume?: string
  readonly hostPort?: number
  /** The container has a standard input that stays open. */
  readonly stdin?: boolean
  /** A cgroup that is there before the pod and stays. */
  readonly cgroupParent?: string
  /** The pod's containers share a PID namespace. */
  readonly sharesProcesses?: boolean
}

export class Kubelet {
  podId = ""
  containerId = ""
  /** Of the image that was pulled. */
  imageId = ""
  private podAttempt = 0
  private containerAttempt = 0
  private readonly shape: PodShape
  constructor(shape: PodShape) {
    this.shape = shape
  }

  get imageName(): string {
    return this.shape.imageName
  }

  get podConfig(): PodSandboxConfig {
    const { hostPort, cgroupParent, mappedVolume, sharesProcesses } = this.shape
    const namespaceOptions: NamespaceOption = {
      ...blank(NamespaceOption),
      pid: sharesProcesses === true ? NamespaceMode.POD : NamespaceMode.CONTAINER,
      usernsOptions: mappedVolume === undefined ? undefined : { mode: NamespaceMode.POD, uids: ids, gids: ids }
    }
    const securityContext = { ...blank(LinuxSandboxSecurityContext), namespaceOptions }
    return {
      ...blank(PodSandboxConfig),
      metadata: { name: "web", namespace: "default", uid: "uid-1", attempt: this.podAttempt },
      hostname: "web",
      logDirectory: "/var/log/pods/default_web_uid-1",
      labels: { app: "web" },
      portMappings: hostPort === undefined ? [] : [{ ...blank(PortMapping), hostPort, containerPort: 80 }],
      linux: {
        ...blank(LinuxPodSandboxConfig),
        cgroupParent: cgroupParent ?? "",
        ...(mappedVolume === undefined && sharesProcesses !== true ? {} : { securityContext })
      }
    }
  }

  get containerConfig(): ContainerConfig {
    return {
      ...blank(ContainerConfig),
      metadata: { name: "app", attempt: this.containerAttempt },
      image: { ...blank(ImageSpec), image: this.shape.imageName, userSpecifiedImage: this.shape.imageName },
      command: [...this.shape.args],
      logPath: `app/${this.containerAttempt}.log`,
      stdin: this.shape.stdin ?? false,
      mounts: [...this.imageMounts, ...this.mappedMounts],
      ...(this.shape.sharesProcesses === true ? { linux: sharing } : {})
    }
  }

  private get imageMounts(): Array<Mount> {
    const { imageName, imageVolume } = this.shape
    if (imageVolume === undefined) return []
    return [
      {
        ...blank(Mount),
        containerPath: imageVolume,
        readonly: true,
        image: { ...blank(ImageSpec), image: imageName },
        imageSubPath: "etc"
      }
    ]
  }

  private get mappedMounts(): Array<Mount> {
    const { mappedVolume } = this.shape
    if (mappedVolume === undefined) return []
    return [{ ...blank(Mount), containerPath: "/volume", hostPath: mappedVolume, uidMappings: ids, gidMappings: ids }]
  }

  pullImage = Effect.suspend(() =>
    image.PullImage({ ...blank(PullImageRequest), image: { ...blank(ImageSpec), image: this.shape.imageName } })
  ).pipe(Effect.tap(({ imageRef }) => Effect.sync(() => (this.imageId = imageRef))))

  runPod = Effect.suspend(() => runtime.RunPodSandbox({ ...blank(RunPodSandboxRequest), config: this.podConfig })).pipe(
    Effect.tap(({ podSandboxId }) => Effect.sync(() => (this.podId = podSandboxId)))
  )

  createContainer = Effect.suspend(() =>
    runtime.CreateContainer({
      ...blank(CreateContainerRequest),
      podSandboxId: this.podId,
      config: this.containerConfig,
      sandboxConfig: this.podConfig
    })
  ).pipe(Effect.tap(({ containerId }) => Effect.sync(() => (this.containerId = containerId))))

  startContainer = Effect.suspend(() => runtime.StartContainer({ containerId: this.containerId }))

  exec = (cmd: ReadonlyArray<string>) =>
    Effect.suspend(() =>
      runtime.ExecSync({ ...blank(ExecSyncRequest), containerId: this.containerId, cmd: [...cmd], timeout: 10n })
    )

  get isRunning() {
    return Effect.map(this.containers, ({ containers }) =>
      containers.some(({ id, state }) => id === this.containerId && state === ContainerState.CONTAINER_RUNNING)
    )
  }

  /** All that is asked about what pods use, one after the other; the answers. */
  statistics = Effect.gen({ self: this }, function* () {
    const { stats } = yield* runtime.ContainerStats({ containerId: this.containerId })
    const containers = yield* decoded(
      runtime.ListContainerStats(blank(ListContainerStatsRequest)),
      ListContainerStatsResponse
    )
    const pod = yield* runtime.PodSandboxStats({ podSandboxId: this.podId })
    const pods = yield* runtime.ListPodSandboxStats(blank(ListPodSandboxStatsRequest))
    const { descriptors } = yield* runtime.ListMetricDescriptors({})
    const { podMetrics } = yield* decoded(runtime.ListPodSandboxMetrics({}), ListPodSandboxMetricsResponse)
    yield* Stream.runDrain(runtime.StreamContainerStats(blank(StreamContainerStatsRequest)))
    yield* Stream.runDrain(runtime.StreamPodSandboxStats(blank(StreamPodSandboxStatsRequest)))
    yield* Stream.runDrain(runtime.StreamPodSandboxMetrics({}))
    return { container: stats, containers: containers.stats, pod: pod.stats, pods: pods.stats, descriptors, podMetrics }
  })

  stopContainer = Effect.suspend(() =>
    runtime.StopContainer({ ...blank(StopContainerRequest), containerId: this.containerId, timeout: 2n })
  )
  removeContainer = Effect.suspend(() => runtime.RemoveContainer({ containerId: this.containerId }))
  stopPod = Effect.suspend(() => runtime.StopPodSandbox({ podSandboxId: this.podId }))
  removePod = Effect.suspend(() => runtime.RemovePodSandbox({ podSandboxId: this.podId }))
  removeImage = Effect.suspend(() =>
    image.RemoveImage({ ...blank(RemoveImageRequest), image: { ...blank(ImageSpec), image: this.shape.imageName } })
  )

  pods = decoded(runtime.ListPodSandbox(blank(ListPodSandboxRequest)), ListPodSandboxResponse)
  containers = decoded(runtime.ListContainers(blank(ListContainersRequest)), ListContainersResponse)
  images = decoded(image.ListImages(blank(ListImagesRequest)), ListImagesResponse)

  /** The pod runs: the one there is, or a new one with the next attempt in the place of what is broken. */
  reachPod = Effect.gen({ self: this }, function* () {
    const { items } = yield* this.pods
    const ready = items.find((pod) => pod.state === PodSandboxState.SANDBOX_READY)
    for (const pod of items) {
      if (pod === ready) continue
      yield* runtime.StopPodSandbox({ podSandboxId: pod.id })
      yield* runtime.RemovePodSandbox({ podSandboxId: pod.id })
      this.podAttempt = Math.max(this.podAttempt, (pod.metadata?.attempt ?? 0) + 1)
    }
    if (ready === undefined) yield* this.runPod
    else this.podId = ready.id
  })

  /** The container is there, created or running, in a pod that runs. */
  reachContainer = Effect.gen({ self: this }, function* () {
    yield* this.reachPod
    const { containers } = yield* this.containers
    const usable = containers.find(({ state, podSandboxId }) => podSandboxId === this.podId && isUsable(state))
    for (const container of containers) {
      if (container === usable) continue
      yield* runtime.RemoveContainer({ containerId: container.id })
      this.containerAttempt = Math.max(this.containerAttempt, (container.metadata?.attempt ?? 0) + 1)
    }
    if (usable === undefined) yield* this.createContainer
    else this.containerId = usable.id
  })

  reachRunning = Effect.gen({ self: this }, function* () {
    yield* this.reachContainer
    const { containers } = yield* this.containers
    const mine = containers.find(({ id }) => id === this.containerId)
    if (mine?.state !== ContainerState.CONTAINER_RUNNING) yield* this.startContainer
  })

  /** What ContainerStatus says of its limits is what the kernel has, whatever became of a change. */
  limitsAgree = Effect.gen({ self: this }, function* () {
    const limits = yield* CgroupLimits
    const container = (yield* (yield* Pods).snapshot).containers.get(this.containerId)
    const cgroup = container?.resources.find((row) => row._tag === "Runtime")?.cgroup ?? ""
    const { status } = yield* runtime.ContainerStatus({ containerId: this.containerId, verbose: false })
    const names = ["memory.max", "memory.limit_in_bytes", "cpu.shares", "cpu.max", "cpu.cfs_quota_us"]
    const held = JSON.stringify(yield* limits.read(cgroup, names))
    const shown = status?.resources?.linux === undefined ? "none" : "some"
    const known = shown === "none" ? this.heldBefore : this.heldAfter
    if (known === undefined) this[shown === "none" ? "heldBefore" : "heldAfter"] = held
    else if (known !== held) return yield* Effect.fail(new Error(`shown are ${shown}, held ${held}, not ${known}`))
  })
  private heldBefore: string | undefined
  private heldAfter: string | undefined

  resizePod = Effect.suspend(() =>
    runtime.UpdatePodSandboxResources({
      podSandboxId: this.podId,
      overhead: undefined,
      resources: { ...blank(LinuxContainerResources), cpuShares: 200n }
    })
  )

  resize = Effect.gen({ self: this }, function* () {
    yield* this.limitsAgree
    const linux = {
      ...blank(LinuxContainerResources),
      memoryLimitInBytes: 1n << 26n,
      cpuShares: 200n,
      cpuQuota: 50_000n,
      cpuPeriod: 100_000n
    }
    const request = { ...blank(UpdateContainerResourcesRequest), containerId: this.containerId, linux }
    yield* runtime.UpdateContainerResources(request)
    yield* this.limitsAgree
  })

  /** As kubelet's reconciliation: what is shown is believed, and asked for again where it is not what is wanted. */
  reachResized = Effect.gen({ self: this }, function* () {
    yield* this.reachRunning
    yield* this.resize
  })

  /** Removes all that is listed, and fails when something is still listed then. */
  cleanUp = Effect.gen({ self: this }, function* () {
    for (const container of (yield* this.containers).containers) {
      yield* runtime.StopContainer({ containerId: container.id, timeout: 0n })
      yield* runtime.RemoveContainer({ containerId: container.id })
    }
    for (const pod of (yield* this.pods).items) {
      yield* runtime.StopPodSandbox({ podSandboxId: pod.id })
      yield* runtime.RemovePodSandbox({ podSandboxId: pod.id })
    }
    for (const { id } of (yield* this.images).images) {
      yield* image.RemoveImage({ ...blank(RemoveImageRequest), image: { ...blank(ImageSpec), image: id } })
    }
    const left = [
      ...(yield* this.containers).containers.map(({ id }) => `container ${id}`),
      ...(yield* this.pods).items.map(({ id }) => `pod ${id}`),
      ...(yield* this.images).images.map(({ id }) => `image ${id}`)
    ]
    if (left.length > 0) return yield* Effect.fail(new Error(`still listed: ${left.join(", ")}`))
  })
}

const isUsable = (state: ContainerState): boolean =>
  state === ContainerState.CONTAINER_CREATED || state === ContainerState.CONTAINER_RUNNING
