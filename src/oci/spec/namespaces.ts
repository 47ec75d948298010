/** Which namespaces a container joins, makes or shares (config-linux.md "Namespaces"). */
import { Result } from "effect"
import { type NamespaceOption, NamespaceMode } from "../../gen/runtime/v1/api.ts"
import type { UserNamespace } from "../../linux/IdMapping.ts"
import type { Namespace, NamespaceType } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "./fault.ts"
import type { NamespaceChoice, NamespaceChoices } from "./input.ts"
import { checkUserNamespace } from "./userNamespace.ts"

const entry = (type: NamespaceType, choice: NamespaceChoice): ReadonlyArray<Namespace> =>
  choice === "host" ? [] : choice === "private" ? [{ type }] : [{ type, path: choice.path }]

/** Mount namespaces are never shared. On cgroup v2 a container sees its own cgroup as the root of the tree. */
export const namespaces = (choices: NamespaceChoices, cgroupVersion: 1 | 2): ReadonlyArray<Namespace> => [
  ...(choices.user === undefined ? [] : entry("user", { path: choices.user.path })),
  ...entry("pid", choices.pid),
  ...entry("network", choices.network),
  ...entry("ipc", choices.ipc),
  ...entry("uts", choices.uts),
  { type: "mount" },
  ...(cgroupVersion === 2 ? [{ type: "cgroup" as const }] : [])
]

/** sysfs shows a network namespace, and is mounted by whoever owns that: with the host's network, not by a user namespace. */
export const hasForeignSysfs = (choices: NamespaceChoices): boolean =>
  choices.user !== undefined && choices.network === "host"

/** What the pod has of its own; undefined is shared with the host. */
export interface PodNamespaces {
  /** Paths of the pins. */
  readonly network: string | undefined
  readonly ipc: string | undefined
  readonly uts: string | undefined
  readonly user: UserNamespace | undefined
  /** Init of the pod's shared PID namespace. */
  readonly pausePid: number | undefined
  /** Init of the container that NamespaceOption.target_id names, while it runs. */
  readonly targetPid: number | undefined
}

const pinned = (path: string | undefined): NamespaceChoice => (path === undefined ? "host" : { path })

const ofProcess = (field: string, pid: number | undefined, missing: string): Result.Result<NamespaceChoice, Fault> =>
  pid === undefined ? invalid(field, missing) : Result.succeed({ path: `/proc/${pid}/ns/pid` })

/** The PID namespace is the container's to choose (CRI NamespaceOption.pid); the others are the pod's. */
export const namespaceChoices = (
  options: NamespaceOption | undefined,
  pod: PodNamespaces
): Result.Result<NamespaceChoices, Fault> => {
  const field = "linux.security_context.namespace_options.pid"
  const pid = ((): Result.Result<NamespaceChoice, Fault> => {
    switch (options?.pid ?? NamespaceMode.CONTAINER) {
      case NamespaceMode.CONTAINER:
        return Result.succeed("private")
      case NamespaceMode.NODE:
        return Result.succeed("host")
      case NamespaceMode.POD:
        return ofProcess(field, pod.pausePid, "is POD, but the sandbox was made without a shared PID namespace")
      default:
        return ofProcess(field, pod.targetPid, "is TARGET, but target_id names no running container of this pod")
    }
  })()
  return Result.gen(function* () {
    yield* checkUserNamespace(options, pod.user)
    return {
      pid: yield* pid,
      network: pinned(pod.network),
      ipc: pinned(pod.ipc),
      uts: pinned(pod.uts),
      user: pod.user
    }
  })
}
