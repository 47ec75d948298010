/** The OCI specification of a pod's pause container: the init of a PID namespace that the pod's containers share. Pure. */
import { Result } from "effect"
import type { RuntimeSpec, Seccomp } from "../../model/RuntimeSpec.ts"
import type { HostFactsShape } from "../HostFacts.ts"
import { ownAnnotations } from "./annotations.ts"
import { deviceRules } from "./devices.ts"
import type { Fault } from "./fault.ts"
import type { ImageDefaults, NamespaceChoices } from "./input.ts"
import { arrangeMounts, baseMounts } from "./mounts.ts"
import { hasForeignSysfs, namespaces } from "./namespaces.ts"
import { defaultMaskedPaths, defaultReadonlyPaths } from "./paths.ts"
import { defaultPath, processArgs } from "./process.ts"
import { mayRaiseLimits } from "../HostFacts.ts"
import type { ContainerUser } from "./user.ts"
import { userMappings } from "./userNamespace.ts"

export interface PauseSpecInput {
  /** The pod's id, which is the pause container's too. */
  readonly id: string
  /** pause_command of the configuration; empty takes the image's own. */
  readonly command: ReadonlyArray<string>
  readonly image: ImageDefaults
  readonly facts: HostFactsShape
  readonly rootfs: string
  readonly cgroupsPath: string
  /** `pid` is "private": the namespace that this container opens for the pod. */
  readonly namespaces: NamespaceChoices
  readonly user: ContainerUser
  readonly sharedMemory: string
  readonly seccomp: Seccomp | undefined
}

/** The kernel takes everything else before the process that holds the pod together (CRI-O and kubelet use this value). */
const pauseOomScoreAdj = -998
/** The least a cgroup can have. */
const pauseCpuShares = 2

export const pauseSpec = (input: PauseSpecInput): Result.Result<RuntimeSpec, Fault> =>
  Result.map(processArgs({ command: input.command, args: [] }, input.image), (args) => ({
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: input.user.uid, gid: input.user.gid, additionalGids: input.user.additionalGids },
      args,
      env: [`PATH=${defaultPath}`],
      cwd: "/",
      capabilities: { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] },
      rlimits: [],
      noNewPrivileges: true,
      oomScoreAdj: mayRaiseLimits(input.facts) ? pauseOomScoreAdj : Math.max(pauseOomScoreAdj, input.facts.oomScoreAdj)
    },
    root: { path: input.rootfs, readonly: true },
    mounts: arrangeMounts(
      baseMounts({
        privileged: false,
        sharedMemory: input.sharedMemory,
        foreignSysfs: hasForeignSysfs(input.namespaces),
        writableTmpfs: false
      })
    ),
    annotations: ownAnnotations({ type: "sandbox", id: input.id, sandboxId: input.id, name: "POD" }),
    linux: {
      ...userMappings(input.namespaces.user),
      namespaces: namespaces(input.namespaces, input.facts.cgroupVersion),
      cgroupsPath: input.cgroupsPath,
      resources: { cpu: { shares: pauseCpuShares }, devices: deviceRules(false, []) },
      devices: [],
      ...(input.seccomp === undefined ? {} : { seccomp: input.seccomp }),
      maskedPaths: defaultMaskedPaths,
      readonlyPaths: defaultReadonlyPaths
    }
  }))
