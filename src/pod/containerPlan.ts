/** What a CreateContainer request comes to, decided before anything is taken: the record with a row for each resource. */
import { Clock, Effect, Result } from "effect"
import { posix } from "node:path"
import { containerCgroup, type ContainerCgroup, monitorCgroup } from "../cgroup/paths.ts"
import { NamespaceMode as Wire, type ContainerConfig, type Mount } from "../gen/runtime/v1/api.ts"
import { Images, knownAs } from "../image/Images.ts"
import { generateId } from "../model/Id.ts"
import { stopSignal } from "../model/Signal.ts"
import { RuntimeUnavailable } from "../oci/OciError.ts"
import { platformKey, type RuntimeHandler, RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { isImageMount, isMapped } from "../oci/spec/mounts.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import type { StoredImage } from "../store/ImageStore.ts"
import { containerName, type ContainerRecord } from "./ContainerRecord.ts"
import { type ImageVolume, planImageVolumes } from "./imageVolumes.ts"
import { recordedLimits } from "./Limits.ts"
import { ImageMissing, InvalidRequest } from "./PodError.ts"
import type { PodRecord } from "./PodRecord.ts"
import { PodSettings } from "./PodSettings.ts"

export interface ContainerPlan {
  readonly record: ContainerRecord
  readonly pod: PodRecord
  readonly config: ContainerConfig
  readonly image: StoredImage
  readonly imageVolumes: ReadonlyArray<ImageVolume>
  readonly handler: RuntimeHandler
  readonly cgroup: ContainerCgroup
  readonly monitorCgroup: string | undefined
}

const invalid = (field: string, reason: string) => new InvalidRequest({ field: `config.${field}`, reason })

/** Absolute, below the pod's log directory whatever the request writes (CVE-2025-0750's class). */
const absoluteLogPath = Effect.fnUntraced(function* (pod: PodRecord, config: ContainerConfig) {
  if (config.logPath === "") return ""
  if (config.logPath.includes("\0") || config.logPath.split("/").includes("..")) {
    return yield* invalid("log_path", `${JSON.stringify(config.logPath)} leads out of the pod's log directory`)
  }
  return posix.join(pod.logDirectory, config.logPath)
})

const recordedMount = (mount: Mount, volumes: ReadonlyArray<ImageVolume>): ContainerRecord["mounts"][number] => {
  const common = {
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readonly: mount.readonly,
    selinuxRelabel: mount.selinuxRelabel,
    propagation: mount.propagation,
    recursiveReadOnly: mount.recursiveReadOnly,
    mountOptions: mount.mountOptions,
    ...(isMapped(mount) ? { mappings: { uids: mount.uidMappings, gids: mount.gidMappings } } : {})
  }
  const { image } = mount
  const volume = isImageMount(mount)
    ? volumes.findLast(({ containerPath }) => containerPath === mount.containerPath)
    : undefined
  if (image === undefined || volume === undefined) return common
  return {
    ...common,
    readonly: true,
    image: {
      image: image.image,
      userSpecifiedImage: image.userSpecifiedImage,
      runtimeHandler: image.runtimeHandler,
      annotations: image.annotations,
      // What PullImage answered for it: critest compares the two.
      imageRef: volume.image.id,
      subPath: mount.imageSubPath
    }
  }
}

/** The pod's handler with the program that runs the image's platform. */
const handlerFor = Effect.fnUntraced(function* (pod: PodRecord, image: StoredImage, id: string) {
  const handlers = yield* RuntimeHandlers
  const own = yield* handlers.get(pod.runtimeHandler)
  const platform = platformKey(own, image.config)
  if (platform === undefined) return { handler: own, platform: {} }
  const unusable = own.platforms.get(platform)
  if (typeof unusable === "string") {
    const reason = `platform_runtime_paths ${platform}: ${unusable}`
    return yield* new RuntimeUnavailable({ containerId: id, runtime: own.name, command: "create", reason })
  }
  return { handler: yield* handlers.get(pod.runtimeHandler, platform), platform: { platform } }
})

export const planContainer = Effect.fn("planContainer")(function* (
  pod: PodRecord,
  config: ContainerConfig | undefined
) {
  if (config === undefined) return yield* new InvalidRequest({ field: "config", reason: "is missing" })
  const settings = yield* PodSettings
  const store = yield* ContainerStore
  const { metadata } = config
  if (metadata === undefined || metadata.name === "") return yield* invalid("metadata.name", "is empty")
  if (/[/\0]/.test(metadata.name)) return yield* invalid("metadata.name", "has a slash or a NUL")
  if (config.image === undefined || config.image.image === "") return yield* invalid("image.image", "is empty")
  const security = config.linux?.securityContext
  const privileged = security?.privileged ?? false
  if (privileged && !pod.privileged) {
    return yield* invalid("linux.security_context.privileged", "the pod sandbox is not privileged")
  }
  if (security?.namespaceOptions?.pid === Wire.TARGET && security.namespaceOptions.targetId === "") {
    return yield* invalid("linux.security_context.namespace_options.target_id", "is empty")
  }

  const image = yield* (yield* Images).resolve(config.image.image)
  if (image === undefined) return yield* new ImageMissing({ image: config.image.image })
  const imageVolumes = yield* planImageVolumes(config.mounts)
  const id = yield* generateId
  const { handler, platform } = yield* handlerFor(pod, image, id)
  const cgroup = containerCgroup(settings.cgroupManager, pod.cgroupParent, id)
  if (Result.isFailure(cgroup)) return yield* invalid("linux", cgroup.failure.message)
  const ownCgroup = monitorCgroup(settings.cgroupManager, cgroup.success, id, handler.options.monitor_cgroup)
  const bundle = store.runDirectory(id)
  const { image: requestedImage, userSpecifiedImage } = config.image
  // kubelet asks by id, and tells what the pod's author wrote beside it.
  const known = knownAs(image, userSpecifiedImage === "" ? requestedImage : userSpecifiedImage)

  const record: ContainerRecord = {
    version: 1,
    id,
    podId: pod.id,
    name: containerName(pod.metadata, metadata),
    bootId: settings.bootId,
    metadata: { name: metadata.name, attempt: metadata.attempt },
    labels: config.labels,
    annotations: config.annotations,
    image: {
      requested: requestedImage,
      userSpecified: userSpecifiedImage,
      ...(known.name === undefined ? {} : { name: known.name }),
      runtimeHandler: config.image.runtimeHandler,
      annotations: config.image.annotations,
      id: image.id,
      ref: known.digest ?? image.id
    },
    logPath: yield* absoluteLogPath(pod, config),
    mounts: config.mounts.map((mount) => recordedMount(mount, imageVolumes)),
    limits: recordedLimits(config.linux?.resources),
    user: { uid: 0, gid: 0, groups: [] },
    stopSignal: stopSignal(config.stopSignal, image.config.config.StopSignal),
    terminal: config.tty,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    handler: handler.name,
    ...platform,
    bundle,
    privileged,
    createdAtNs: yield* Clock.currentTimeNanos,
    state: { _tag: "Creating" },
    // In the order of taking; given back in reverse.
    resources: [
      { _tag: "Layer", containerId: id },
      ...imageVolumes.map(({ volumeId }) => ({ _tag: "ImageVolume" as const, volumeId, containerId: id })),
      {
        _tag: "Runtime",
        containerId: id,
        handler: handler.name,
        ...platform,
        bundle,
        cgroup: cgroup.success.path,
        ...(ownCgroup !== undefined && { monitorCgroup: ownCgroup })
      }
    ]
  }
  const plan = { record, pod, config, image, imageVolumes, handler, cgroup: cgroup.success }
  return { ...plan, monitorCgroup: ownCgroup } satisfies ContainerPlan
})
