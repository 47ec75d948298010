/** What is kept on disk of a container: all that ContainerStatus answers, and a row for all it holds of the host. */
import { Schema } from "effect"
import { IdMappings } from "../linux/IdMapping.ts"
import { ContainerState } from "./ContainerState.ts"
import { Limits } from "./Limits.ts"
import { Labels, type PodRecord } from "./PodRecord.ts"
import { Resource } from "./Resource.ts"

const Int64 = Schema.BigIntFromString

/** CRI Mount as the request gave it, echoed by ContainerStatus (kubelet finds the termination log by it). */
export const MountRecord = Schema.Struct({
  containerPath: Schema.String,
  hostPath: Schema.String,
  readonly: Schema.Boolean,
  selinuxRelabel: Schema.Boolean,
  /** CRI MountPropagation. */
  propagation: Schema.Int,
  recursiveReadOnly: Schema.Boolean,
  mountOptions: Schema.Array(Schema.String),
  /** Of a volume that is mapped for the pod's user namespace. */
  mappings: Schema.optionalKey(IdMappings),
  /** CRI Mount.image with the mounted image's digest; absent where a path of the host is mounted. */
  image: Schema.optionalKey(
    Schema.Struct({
      image: Schema.String,
      userSpecifiedImage: Schema.String,
      runtimeHandler: Schema.String,
      annotations: Labels,
      imageRef: Schema.String,
      subPath: Schema.String
    })
  )
})

export const ContainerRecord = Schema.Struct({
  version: Schema.Literal(1),
  id: Schema.String,
  podId: Schema.String,
  /** The reserved name: `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`. */
  name: Schema.String,
  bootId: Schema.String,
  metadata: Schema.Struct({ name: Schema.String, attempt: Schema.Int }),
  labels: Labels,
  annotations: Labels,
  image: Schema.Struct({
    /** ContainerConfig.image.image: what kubelet resolved, often an id. */
    requested: Schema.String,
    /** What the pod's author wrote. */
    userSpecified: Schema.String,
    /** What ContainerStatus calls it: a name where there is one. Absent in records of before. */
    name: Schema.optionalKey(Schema.String),
    runtimeHandler: Schema.String,
    annotations: Labels,
    id: Schema.String,
    /** A repo digest where one is known, else the id. */
    ref: Schema.String
  }),
  /** Absolute; "" without a log. */
  logPath: Schema.String,
  mounts: Schema.Array(MountRecord),
  limits: Schema.NullOr(Limits),
  /** While its limits are changed: what the control files held before, to be written back if the change fails. */
  resizing: Schema.optionalKey(Schema.Struct({ files: Labels })),
  user: Schema.Struct({ uid: Schema.Int, gid: Schema.Int, groups: Schema.Array(Schema.Int) }),
  /** Signal number that asks the process to stop. */
  stopSignal: Schema.Int,
  terminal: Schema.Boolean,
  stdin: Schema.Boolean,
  stdinOnce: Schema.Boolean,
  /** Name of the handler that runs it, never "". */
  handler: Schema.String,
  /** Key of the handler's platform_runtime_paths; absent when its own program runs it. */
  platform: Schema.optionalKey(Schema.String),
  bundle: Schema.String,
  privileged: Schema.Boolean,
  createdAtNs: Int64,
  state: ContainerState,
  resources: Schema.Array(Resource)
})
export type ContainerRecord = typeof ContainerRecord.Type

/** CRI-O's spelling of a container's name. */
export const containerName = (pod: PodRecord["metadata"], metadata: ContainerRecord["metadata"]): string =>
  `k8s_${metadata.name}_${pod.name}_${pod.namespace}_${pod.uid}_${metadata.attempt}`
