/**
 * What pods and containers take from the host. A row is written into the owner's record before the thing is taken and
 * leaves it after the thing is given back, so whoever reads the record knows all there can be.
 */
import { Schema } from "effect"

/** One entry of a pod's network: everything CNI needs to take it down again, without the request. */
export const NetworkAttachment = Schema.Struct({
  podId: Schema.String,
  podName: Schema.String,
  podNamespace: Schema.String,
  podUid: Schema.String,
  netnsPath: Schema.String,
  interfaceName: Schema.String,
  portMappings: Schema.Array(
    Schema.Struct({
      hostPort: Schema.Int,
      containerPort: Schema.Int,
      protocol: Schema.Literals(["tcp", "udp", "sctp"]),
      hostIp: Schema.String
    })
  ),
  annotations: Schema.Record(Schema.String, Schema.String)
})
export type NetworkAttachment = typeof NetworkAttachment.Type

export const Resource = Schema.TaggedUnion({
  /** A namespace pinned as a bind mount at `path`. */
  Namespace: { path: Schema.String },
  /** A CNI attachment: interfaces, addresses, rules. */
  Network: { attachment: NetworkAttachment },
  /** A mount that the daemon itself made. */
  Mount: { path: Schema.String },
  /** A directory tree of the daemon's own. */
  Directory: { path: Schema.String },
  /** A cgroup (path below the hierarchy's root) to remove once it is empty; kept while others use it. */
  Cgroup: { path: Schema.String },
  /** The writable layer, its overlay mount and its record in the container store. */
  Layer: { containerId: Schema.String },
  /** An image mounted for a container: a layer of its own, its mount and its record in the container store. */
  ImageVolume: { volumeId: Schema.String, containerId: Schema.String },
  /** The OCI runtime's container with its processes, its cgroup and its monitor. */
  Runtime: {
    containerId: Schema.String,
    handler: Schema.String,
    /** Key of the handler's platform_runtime_paths; absent for its own program. */
    platform: Schema.optionalKey(Schema.String),
    bundle: Schema.String,
    cgroup: Schema.String,
    /** The monitor's own; absent when it is in the daemon's. */
    monitorCgroup: Schema.optionalKey(Schema.String)
  }
})
export type Resource = typeof Resource.Type

/** For logs and waits: "Namespace /run/netns/…". */
export const describe = (resource: Resource): string => {
  switch (resource._tag) {
    case "Network":
      return `Network ${resource.attachment.interfaceName} of pod ${resource.attachment.podId}`
    case "ImageVolume":
      return `ImageVolume ${resource.volumeId} of container ${resource.containerId}`
    case "Layer":
    case "Runtime":
      return `${resource._tag} ${resource.containerId}`
    default:
      return `${resource._tag} ${resource.path}`
  }
}

/** Rows are compared by content: the same thing is never in a record twice. */
export const sameResource = (left: Resource, right: Resource): boolean => describe(left) === describe(right)

const isBelow = (path: string, directory: string): boolean => path.startsWith(`${directory}/`)

/**
 * True when `upper` must be given back before `lower` may be: network plugins act inside the namespace, a mount or a
 * bundle lies in the directory, a process lives on the layer.
 */
export const standsOn = (upper: Resource, lower: Resource): boolean => {
  switch (lower._tag) {
    case "Namespace":
      return upper._tag === "Network" && upper.attachment.netnsPath === lower.path
    case "Directory":
      return (
        (upper._tag === "Mount" && isBelow(upper.path, lower.path)) ||
        (upper._tag === "Runtime" && isBelow(upper.bundle, lower.path))
      )
    case "Layer":
    case "ImageVolume":
      return upper._tag === "Runtime" && upper.containerId === lower.containerId
    default:
      return false
  }
}
