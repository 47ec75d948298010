/** Requests as kubelet makes them. */
import {
  ContainerConfig,
  type ContainerStatus,
  ContainerStatusRequest,
  ImageSpec,
  LinuxContainerConfig,
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  LinuxPodSandboxConfig,
  LinuxSandboxSecurityContext,
  NamespaceMode,
  NamespaceOption,
  PodSandboxConfig,
  Protocol
} from "../../gen/runtime/v1/api.ts"
import { type Cri, message } from "../Cri.ts"
import { type Behaviour, type ContainerModel, endsByItself, type Model, type PodModel } from "../Model.ts"
import type { Target } from "../Target.ts"

export const unknownId = "f".repeat(64)

const commands: Readonly<Record<Behaviour, ReadonlyArray<string>>> = {
  sleeps: ["sleep", "100000"],
  obeys: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"],
  fails: ["sh", "-c", "exit 3"],
  completes: ["sh", "-c", "echo done"],
  writes: ["sh", "-c", 'i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.05; done'],
  forks: ["sh", "-c", "setsid sleep 100000 & setsid sleep 100000 & sleep 100000"],
  echoes: ["cat"],
  outgrows: ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"]
}

const behaviours = Object.keys(commands) as ReadonlyArray<Behaviour>

/** Each of the first six has two numbers, as in the scenarios that were written down before there were more. */
const doubled = 6

export const behaviourOf = (number: number, { profile }: Pick<Target, "profile">): Behaviour => {
  const found = behaviours[number < 2 * doubled ? number % doubled : number - doubled] ?? "sleeps"
  return found === "outgrows" && !profile.capabilities.includes("memoryLimits") ? "completes" : found
}

/** Less than "outgrows" takes. */
const memoryLimit = 32n << 20n

export interface PodOptions {
  readonly hostNetwork: boolean
  readonly sharedPid: boolean
  readonly hostPort: boolean
  readonly handler: string
}

const firstHostPort = 28_100

export const makePod = (model: Model, target: Target, options: PodOptions): PodModel => {
  const number = ++model.count
  const uid = `${model.prefix}-${number}`
  const name = `pod-${number}`
  const namespaceOptions = message(NamespaceOption, {
    network: options.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: options.sharedPid ? NamespaceMode.POD : NamespaceMode.CONTAINER,
    ipc: NamespaceMode.POD
  })
  const config = message(PodSandboxConfig, {
    metadata: { name, namespace: "harness", uid, attempt: 0 },
    hostname: options.hostNetwork ? "" : name,
    logDirectory: `${target.profile.logDirectory}/harness_${name}_${uid}`,
    labels: { "harness/pod": uid, "harness/run": model.prefix },
    annotations: { "harness/note": `"${name}", ünïcode` },
    portMappings: options.hostPort
      ? [{ protocol: Protocol.TCP, containerPort: 80, hostPort: firstHostPort + (number % 100), hostIp: "" }]
      : [],
    linux: message(LinuxPodSandboxConfig, {
      cgroupParent: `${target.profile.cgroupParent}/pod${uid}`,
      securityContext: message(LinuxSandboxSecurityContext, { namespaceOptions })
    })
  })
  return {
    key: uid,
    config,
    handler: options.handler,
    id: "",
    states: new Set(["absent"]),
    because: "pod.state",
    inFlux: false,
    mayEnd: false,
    createdAt: 0n,
    address: ""
  }
}

export const makeContainer = (
  model: Model,
  pod: PodModel,
  behaviour: Behaviour,
  image: string,
  codes: ReadonlyArray<number>
): ContainerModel => {
  const name = `c-${++model.count}`
  const logPath = `${name}/0.log`
  return {
    key: `${pod.key}/${name}/0`,
    pod,
    behaviour,
    config: message(ContainerConfig, {
      metadata: { name, attempt: 0 },
      image: message(ImageSpec, { image, userSpecifiedImage: image }),
      command: [...commands[behaviour]],
      labels: { "harness/container": name, "harness/pod": pod.key },
      annotations: { "harness/note": name },
      logPath,
      stdin: behaviour === "echoes",
      linux: message(LinuxContainerConfig, {
        ...(behaviour === "outgrows"
          ? { resources: message(LinuxContainerResources, { memoryLimitInBytes: memoryLimit }) }
          : {}),
        securityContext: message(LinuxContainerSecurityContext, {
          namespaceOptions: pod.config.linux?.securityContext?.namespaceOptions
        })
      })
    }),
    id: "",
    states: new Set(["absent"]),
    because: "container.state",
    inFlux: false,
    mayEnd: endsByItself(behaviour),
    codes: new Set(codes),
    createdAt: 0n,
    startedAt: 0n,
    exit: undefined,
    logs: [`${pod.config.logDirectory}/${logPath}`],
    wasStarted: false,
    wasDisturbed: false
  }
}

export const nameOf = (object: PodModel | ContainerModel): string =>
  "pod" in object ? `${object.config.metadata?.name} of ${nameOf(object.pod)}` : (object.config.metadata?.name ?? "")

export const containerStatusOf = (cri: Cri, containerId: string) =>
  cri.call("containerStatus", message(ContainerStatusRequest, { containerId }))

export type { ContainerStatus }
