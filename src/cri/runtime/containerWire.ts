/** A container's record in the CRI's words. */
import {
  ContainerState,
  MountPropagation,
  type Signal,
  type Container,
  type ContainerFilter,
  type ContainerResources,
  type ContainerStatus,
  type ImageSpec,
  type Mount
} from "../../gen/runtime/v1/api.ts"
import { signalToCri } from "../../model/Signal.ts"
import type { ContainerRecord } from "../../pod/ContainerRecord.ts"
import { hasLabels } from "./podWire.ts"

const stateOf = ({ state }: ContainerRecord): ContainerState => {
  switch (state._tag) {
    case "Creating":
    case "Created":
      return ContainerState.CONTAINER_CREATED
    case "Running":
      return ContainerState.CONTAINER_RUNNING
    case "Stopping":
      return state.startedAtNs > 0n ? ContainerState.CONTAINER_RUNNING : ContainerState.CONTAINER_CREATED
    case "Exited":
      return ContainerState.CONTAINER_EXITED
  }
}

const imageOf = ({ image }: ContainerRecord): ImageSpec => ({
  image: image.requested,
  annotations: image.annotations,
  userSpecifiedImage: image.userSpecified,
  runtimeHandler: image.runtimeHandler,
  imageRef: ""
})

export const toContainer = (container: ContainerRecord): Container => ({
  id: container.id,
  podSandboxId: container.podId,
  metadata: container.metadata,
  image: imageOf(container),
  imageRef: container.image.ref,
  imageId: container.image.id,
  state: stateOf(container),
  createdAt: container.createdAtNs,
  labels: container.labels,
  annotations: container.annotations
})

type MountRecord = ContainerRecord["mounts"][number]

const mountedImage = ({ image }: MountRecord): Pick<Mount, "image" | "imageSubPath"> => {
  if (image === undefined) return { image: undefined, imageSubPath: "" }
  const { subPath, ...spec } = image
  return { image: spec, imageSubPath: subPath }
}

const toMount = (mount: MountRecord): Mount => ({
  containerPath: mount.containerPath,
  hostPath: mount.hostPath,
  readonly: mount.readonly,
  selinuxRelabel: mount.selinuxRelabel,
  propagation: mount.propagation as MountPropagation,
  uidMappings: [...(mount.mappings?.uids ?? [])],
  gidMappings: [...(mount.mappings?.gids ?? [])],
  recursiveReadOnly: mount.recursiveReadOnly,
  ...mountedImage(mount),
  mountOptions: [...mount.mountOptions]
})

const toResources = ({ limits }: ContainerRecord): ContainerResources | undefined =>
  limits === null ? undefined : { linux: { ...limits, hugepageLimits: [...limits.hugepageLimits] }, windows: undefined }

export const toContainerStatus = (container: ContainerRecord): ContainerStatus => {
  const { state } = container
  const exited = state._tag === "Exited"
  return {
    id: container.id,
    metadata: container.metadata,
    state: stateOf(container),
    createdAt: container.createdAtNs,
    startedAt: "startedAtNs" in state ? state.startedAtNs : 0n,
    finishedAt: exited ? state.finishedAtNs : 0n,
    exitCode: exited ? state.exitCode : 0,
    // In a pod's status it is shown to people: a name, although kubelet has asked by id.
    image: { ...imageOf(container), image: container.image.name ?? container.image.requested },
    imageRef: container.image.ref,
    imageId: container.image.id,
    reason: exited ? state.reason : "",
    message: exited ? state.message : "",
    labels: container.labels,
    annotations: container.annotations,
    mounts: container.mounts.map(toMount),
    logPath: container.logPath,
    resources: toResources(container),
    user: {
      linux: {
        uid: BigInt(container.user.uid),
        gid: BigInt(container.user.gid),
        supplementalGroups: container.user.groups.map(BigInt)
      }
    },
    stopSignal: signalToCri(container.stopSignal) as Signal
  }
}

/** All given fields must hold; ids may be the beginning of one. */
export const containerMatches = (container: ContainerRecord, filter: ContainerFilter | undefined): boolean =>
  filter === undefined ||
  (container.id.startsWith(filter.id) &&
    container.podId.startsWith(filter.podSandboxId) &&
    (filter.state === undefined || filter.state.state === stateOf(container)) &&
    hasLabels(container.labels, filter.labelSelector))
