/** What a RunPodSandbox request comes to, decided before anything is taken: the record, and a row for each resource. */
import { Clock, Effect, Result } from "effect"
import { NamespaceMode as Wire, type PodSandboxConfig, type PortMapping, Protocol } from "../gen/runtime/v1/api.ts"
import { containerCgroup, monitorCgroup } from "../cgroup/paths.ts"
import type { UserNamespace } from "../linux/IdMapping.ts"
import type { PinnedKind } from "../linux/Namespaces.ts"
import { generateId } from "../model/Id.ts"
import type { RuntimeHandler } from "../oci/RuntimeHandlers.ts"
import { annotatedShmSize } from "../oci/spec/podAnnotations.ts"
import { podSysctls, type Sysctl } from "../oci/spec/sysctls.ts"
import { checkNodeNamespaces, requestedUserNamespace } from "../oci/spec/userNamespace.ts"
import type { Fault } from "../oci/spec/fault.ts"
import { recordedLimits } from "./Limits.ts"
import { InvalidRequest } from "./PodError.ts"
import { podName, type NamespaceMode, type PodRecord } from "./PodRecord.ts"
import { PodSettings } from "./PodSettings.ts"
import type { NetworkAttachment, Resource } from "./Resource.ts"

export interface PodPlan {
  readonly record: PodRecord
  readonly config: PodSandboxConfig
  readonly handler: RuntimeHandler
  readonly sysctls: ReadonlyArray<Sysctl>
  /** Bytes of the pod's shared memory. */
  readonly shmSize: number
}

/** Bytes, CRI-O's and containerd's default. */
const defaultShmSize = 64 << 20

const userPin = (directory: string, podId: string) => `${directory}/userns/${podId}`

/** The pod's own user namespace, undefined in the host's. */
export const podUserNamespace = (
  directory: string,
  { id, namespaces: { user } }: Pick<PodRecord, "id" | "namespaces">
): UserNamespace | undefined => (user === null ? undefined : { path: userPin(directory, id), ids: user })

/** The namespaces that a pod has of its own, with the place of each pin. */
export const podNamespaces = (
  directory: string,
  pod: Pick<PodRecord, "id" | "namespaces">
): ReadonlyArray<{ readonly kind: PinnedKind; readonly path: string }> => [
  ...(pod.namespaces.user === null ? [] : [{ kind: "user" as const, path: userPin(directory, pod.id) }]),
  ...(pod.namespaces.network === "pod"
    ? [
        { kind: "net" as const, path: `${directory}/netns/${pod.id}` },
        { kind: "uts" as const, path: `${directory}/utsns/${pod.id}` }
      ]
    : []),
  ...(pod.namespaces.ipc === "pod" ? [{ kind: "ipc" as const, path: `${directory}/ipcns/${pod.id}` }] : [])
]

/** Files of a running pod: hostname, resolv.conf, shm, the pause bundle. */
export const podDirectory = (runDirectory: string, podId: string): string => `${runDirectory}/pods/${podId}`

const invalid = (field: string, reason: string) => new InvalidRequest({ field: `config.${field}`, reason })

const modeName = (mode: number): NamespaceMode => {
  switch (mode) {
    case Wire.CONTAINER:
      return "container"
    case Wire.NODE:
      return "node"
    case Wire.TARGET:
      return "target"
    default:
      return "pod"
  }
}

const protocolName = (protocol: number) =>
  protocol === Protocol.UDP ? ("udp" as const) : protocol === Protocol.SCTP ? ("sctp" as const) : ("tcp" as const)

/** Host port 0 means "none" (CRI PortMapping). */
const hostPorts = (mappings: ReadonlyArray<PortMapping>): NetworkAttachment["portMappings"] =>
  mappings
    .filter((mapping) => mapping.hostPort > 0)
    .map(({ hostPort, containerPort, protocol, hostIp }) => ({
      hostPort,
      containerPort,
      protocol: protocolName(protocol),
      hostIp
    }))

/** RFC 1123, as long as the kernel takes (sethostname(2)): with setHostnameAsFQDN kubelet sends up to 64 characters. */
const isHostname = (text: string) => text.length <= 64 && /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(text)

const validMetadata = Effect.fnUntraced(function* (config: PodSandboxConfig) {
  const { metadata } = config
  if (metadata === undefined) return yield* invalid("metadata", "is missing")
  for (const field of ["name", "namespace", "uid"] as const) {
    if (metadata[field] === "") return yield* invalid(`metadata.${field}`, "is empty")
    if (/[/\0]/.test(metadata[field])) return yield* invalid(`metadata.${field}`, "has a slash or a NUL")
  }
  return metadata
})

const orInvalid = <A>(result: Result.Result<A, Fault>): Effect.Effect<A, InvalidRequest> =>
  Effect.fromResult(Result.mapError(result, ({ field, reason }) => invalid(field, reason)))

const validUserNamespace = Effect.fnUntraced(function* (config: PodSandboxConfig, handler: RuntimeHandler) {
  const options = config.linux?.securityContext?.namespaceOptions
  const user = yield* orInvalid(requestedUserNamespace(options?.usernsOptions))
  if (user === undefined) return null
  yield* orInvalid(checkNodeNamespaces(options))
  if (!handler.features.userNamespaces) {
    const reason = `runtime handler ${handler.name} (${handler.kind} ${handler.version}) has no user namespaces: they need an OCI runtime with idmapped mounts (crun 1.4, runc 1.2) and Linux 5.19`
    return yield* invalid("linux.security_context.namespace_options.userns_options", reason)
  }
  return user
})

const validNamespaces = Effect.fnUntraced(function* (config: PodSandboxConfig, handler: RuntimeHandler) {
  const options = config.linux?.securityContext?.namespaceOptions
  const namespaces = {
    network: modeName(options?.network ?? Wire.POD),
    // Without options nobody has asked to share processes: the pod then needs no process of its own.
    pid: modeName(options?.pid ?? Wire.CONTAINER),
    ipc: modeName(options?.ipc ?? Wire.POD),
    user: yield* validUserNamespace(config, handler)
  }
  for (const kind of ["network", "ipc"] as const) {
    if (namespaces[kind] === "pod" || namespaces[kind] === "node") continue
    const reason = `must be POD or NODE, not ${namespaces[kind].toUpperCase()}`
    return yield* invalid(`linux.security_context.namespace_options.${kind}`, reason)
  }
  if (namespaces.pid === "target") {
    return yield* invalid("linux.security_context.namespace_options.pid", "TARGET is for containers")
  }
  return namespaces
})

/** Each becomes a word of resolv.conf(5), where a space or a line's end would begin another one. */
const validDns = Effect.fnUntraced(function* ({ dnsConfig }: PodSandboxConfig) {
  if (dnsConfig === undefined) return
  for (const field of ["servers", "searches", "options"] as const) {
    const odd = dnsConfig[field].find((word) => !/^[!-~]*$/.test(word))
    if (odd !== undefined) return yield* invalid(`dns_config.${field}`, `${JSON.stringify(odd)} is not one word`)
  }
})

export const planPod = Effect.fn("planPod")(function* (
  config: PodSandboxConfig | undefined,
  runtimeHandler: string,
  handler: RuntimeHandler
) {
  if (config === undefined) return yield* new InvalidRequest({ field: "config", reason: "is missing" })
  const settings = yield* PodSettings
  const metadata = yield* validMetadata(config)
  const namespaces = yield* validNamespaces(config, handler)
  yield* validDns(config)
  const id = yield* generateId
  const hostname = config.hostname !== "" ? config.hostname : namespaces.network === "node" ? "" : id.slice(0, 12)
  if (hostname !== "" && !isHostname(hostname)) return yield* invalid("hostname", `${hostname} is not a host name`)
  if (config.logDirectory !== "" && !config.logDirectory.startsWith("/")) {
    return yield* invalid("log_directory", `${config.logDirectory} is not an absolute path`)
  }

  const cgroupParent = config.linux?.cgroupParent ?? ""
  const cgroup = containerCgroup(settings.cgroupManager, cgroupParent, id)
  if (Result.isFailure(cgroup)) return yield* invalid("linux.cgroup_parent", cgroup.failure.reason)
  const sysctls = podSysctls({
    requested: config.linux?.sysctls ?? {},
    defaults: settings.defaultSysctls,
    hostNetwork: namespaces.network === "node",
    hostIpc: namespaces.ipc === "node"
  })
  if (Result.isFailure(sysctls)) return yield* invalid(sysctls.failure.field, sysctls.failure.reason)
  const asked = { annotations: config.annotations, allowed: handler.options.allowed_annotations }
  const shmSize = (yield* orInvalid(annotatedShmSize(asked))) ?? defaultShmSize

  const pauseMonitor = monitorCgroup(settings.cgroupManager, cgroup.success, id, handler.options.monitor_cgroup)
  const pins = podNamespaces(settings.namespacesDirectory, { id, namespaces })
  const directory = podDirectory(settings.runDirectory, id)
  const network: ReadonlyArray<Resource> =
    namespaces.network === "node"
      ? []
      : [
          {
            _tag: "Network",
            attachment: {
              podId: id,
              podName: metadata.name,
              podNamespace: metadata.namespace,
              podUid: metadata.uid,
              netnsPath: `${settings.namespacesDirectory}/netns/${id}`,
              interfaceName: "eth0",
              portMappings: hostPorts(config.portMappings),
              annotations: config.annotations
            }
          }
        ]
  const shared: ReadonlyArray<Resource> =
    namespaces.pid === "pod"
      ? [
          { _tag: "Layer", containerId: id },
          {
            _tag: "Runtime",
            containerId: id,
            handler: handler.name,
            bundle: `${directory}/pause`,
            cgroup: cgroup.success.path,
            ...(pauseMonitor !== undefined && { monitorCgroup: pauseMonitor })
          }
        ]
      : []
  const overhead = recordedLimits(config.linux?.overhead)
  const limits = recordedLimits(config.linux?.resources)
  const record: PodRecord = {
    version: 1,
    id,
    name: podName(metadata),
    bootId: settings.bootId,
    metadata: {
      name: metadata.name,
      uid: metadata.uid,
      namespace: metadata.namespace,
      attempt: metadata.attempt
    },
    labels: config.labels,
    annotations: config.annotations,
    hostname,
    logDirectory: config.logDirectory === "" ? `${settings.logDirectory}/${id}` : config.logDirectory,
    runtimeHandler,
    cgroupParent,
    privileged: config.linux?.securityContext?.privileged ?? false,
    namespaces,
    sysctls: config.linux?.sysctls ?? {},
    ...(overhead !== null && { overhead }),
    ...(limits !== null && { limits }),
    ips: [],
    pause: null,
    createdAtNs: yield* Clock.currentTimeNanos,
    state: { _tag: "Starting" },
    // In the order of taking; given back in reverse.
    resources: [
      ...(cgroupParent === "" && settings.defaultCgroupParent !== ""
        ? [{ _tag: "Cgroup" as const, path: settings.defaultCgroupParent }]
        : []),
      { _tag: "Directory", path: directory },
      ...(namespaces.ipc === "pod" ? [{ _tag: "Mount" as const, path: `${directory}/shm` }] : []),
      ...pins.map(({ path }) => ({ _tag: "Namespace" as const, path })),
      ...network,
      ...shared
    ]
  }
  return { record, config, handler, sysctls: sysctls.success, shmSize } satisfies PodPlan
})
