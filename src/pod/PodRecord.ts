/** What is kept on disk of a pod sandbox: all that answers need, and a row for all it holds of the host. */
import { Effect, Schema } from "effect"
import { IdMappings } from "../linux/IdMapping.ts"
import { Limits } from "./Limits.ts"
import { PodState } from "./PodState.ts"
import { Resource } from "./Resource.ts"

export const Labels = Schema.Record(Schema.String, Schema.String)

/** CRI NamespaceMode by name. */
export const NamespaceMode = Schema.Literals(["pod", "container", "node", "target"])
export type NamespaceMode = typeof NamespaceMode.Type

export const ProcessIdentity = Schema.Struct({ pid: Schema.Int, startTime: Schema.Int })

export const PodRecord = Schema.Struct({
  version: Schema.Literal(1),
  id: Schema.String,
  /** The reserved name: `k8s_POD_<pod>_<namespace>_<uid>_<attempt>`. */
  name: Schema.String,
  /** The boot in which the pod was started (/proc/sys/kernel/random/boot_id). */
  bootId: Schema.String,
  metadata: Schema.Struct({
    name: Schema.String,
    uid: Schema.String,
    namespace: Schema.String,
    attempt: Schema.Int
  }),
  labels: Labels,
  annotations: Labels,
  hostname: Schema.String,
  /** Absolute: the request's, else one below log_dir. */
  logDirectory: Schema.String,
  /** As the request spelled it; "" is the default handler. */
  runtimeHandler: Schema.String,
  /** As kubelet gave it, cgroupfs syntax; "" when the request names none. */
  cgroupParent: Schema.String,
  privileged: Schema.Boolean,
  namespaces: Schema.Struct({
    network: NamespaceMode,
    pid: NamespaceMode,
    ipc: NamespaceMode,
    /** Ids of the pod's own user namespace; null in the host's. */
    user: Schema.NullOr(IdMappings).pipe(Schema.withDecodingDefaultKey(Effect.succeed(null)))
  }),
  sysctls: Labels,
  /** What kubelet says of the pod's cgroup, which is its own: CRI LinuxPodSandboxConfig, then UpdatePodSandboxResources. */
  overhead: Schema.optionalKey(Limits),
  limits: Schema.optionalKey(Limits),
  /** Primary address first; empty on the host's network. */
  ips: Schema.Array(Schema.String),
  /** The process that holds a shared PID namespace open. */
  pause: Schema.NullOr(ProcessIdentity),
  createdAtNs: Schema.BigIntFromString,
  state: PodState,
  resources: Schema.Array(Resource)
})
export type PodRecord = typeof PodRecord.Type

/** CRI-O's spelling of a pod's name. */
export const podName = (metadata: PodRecord["metadata"]): string =>
  `k8s_POD_${metadata.name}_${metadata.namespace}_${metadata.uid}_${metadata.attempt}`
