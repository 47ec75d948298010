/** What the specification of a container is made from: everything already read, nothing left to look up. */
import type { ContainerConfig } from "../../gen/runtime/v1/api.ts"
import type { ProcessConfig } from "../../model/ImageConfig.ts"
import type { Capabilities, Device, DeviceRule, Mount, Seccomp } from "../../model/RuntimeSpec.ts"
import type { UserNamespace } from "../../linux/IdMapping.ts"
import type { HostFactsShape } from "../HostFacts.ts"
import type { RuntimeHandler } from "../RuntimeHandlers.ts"
import type { ContainerUser } from "./user.ts"

/** The part of an image's config that a container starts from. Written by a stranger. */
export type ImageDefaults = Pick<ProcessConfig, "User" | "Env" | "Entrypoint" | "Cmd" | "WorkingDir" | "Volumes">

/** "host" shares the daemon's namespace, "private" makes one for the container alone, a path joins that one. */
export type NamespaceChoice = "host" | "private" | { readonly path: string }

export interface NamespaceChoices {
  readonly network: NamespaceChoice
  readonly ipc: NamespaceChoice
  readonly uts: NamespaceChoice
  readonly pid: NamespaceChoice
  /** undefined is the host's. */
  readonly user: UserNamespace | undefined
}

/** The configuration's part, keys of [crio.runtime] and [crio.image]. */
export interface SpecSettings {
  readonly default_capabilities: ReadonlyArray<string>
  readonly add_inheritable_capabilities: boolean
  /** "NAME=value". */
  readonly default_env: ReadonlyArray<string>
  /** "name=soft:hard". */
  readonly default_ulimits: ReadonlyArray<string>
  /** Below 1: no limit. */
  readonly pids_limit: number
  /** Root file systems of all containers are read-only, with a tmpfs where programs expect to write. */
  readonly read_only: boolean
}

export interface ContainerSpecInput {
  readonly id: string
  readonly sandboxId: string
  readonly config: ContainerConfig
  readonly image: ImageDefaults
  readonly settings: SpecSettings
  readonly handler: RuntimeHandler
  readonly facts: HostFactsShape
  /** Path of the mounted root file system. */
  readonly rootfs: string
  /** What the runtime's --systemd-cgroup or cgroupfs driver expects. */
  readonly cgroupsPath: string
  /** HOSTNAME of the environment; "" sets none. */
  readonly hostname: string
  readonly namespaces: NamespaceChoices
  readonly user: ContainerUser
  /** undefined leaves it to the runtime. */
  readonly umask?: number | undefined
  /** As `capabilities` grants them: seccomp depends on them too. */
  readonly capabilities: Capabilities
  /** Over the default mounts, by destination. */
  readonly mounts: ReadonlyArray<Mount>
  readonly sharedMemory: string
  readonly devices: ReadonlyArray<Device>
  readonly deviceRules: ReadonlyArray<DeviceRule>
  readonly seccomp: Seccomp | undefined
  readonly apparmorProfile: string | undefined
}
