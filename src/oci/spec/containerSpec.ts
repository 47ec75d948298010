/** The OCI specification of a container, from what kubelet asks, the image offers and the host allows. Pure. */
import { Result } from "effect"
import type { RuntimeSpec } from "../../model/RuntimeSpec.ts"
import { mayRaiseLimits } from "../HostFacts.ts"
import { annotations, ownAnnotations } from "./annotations.ts"
import { deviceRules } from "./devices.ts"
import type { Fault } from "./fault.ts"
import type { ContainerSpecInput } from "./input.ts"
import { arrangeMounts, baseMounts, rootfsPropagation, uncoveredDefaults } from "./mounts.ts"
import { hasForeignSysfs, namespaces } from "./namespaces.ts"
import { confinedPaths } from "./paths.ts"
import { environment, processArgs, workingDirectory } from "./process.ts"
import { oomScoreAdj, resources } from "./resources.ts"
import { rlimits } from "./rlimits.ts"
import { userMappings } from "./userNamespace.ts"

export const containerSpec = (input: ContainerSpecInput): Result.Result<RuntimeSpec, Fault> =>
  Result.gen(function* () {
    const { config, settings, facts, handler, image, user } = input
    const security = config.linux?.securityContext
    const privileged = security?.privileged ?? false
    const limits = config.linux?.resources
    const args = yield* processArgs(config, image)
    const env = yield* environment({
      image,
      envs: config.envs,
      defaultEnv: settings.default_env,
      hostname: input.hostname,
      home: user.home,
      terminal: config.tty
    })
    const cwd = yield* workingDirectory(config.workingDir, image.WorkingDir)
    const ownLimits = yield* rlimits(settings.default_ulimits, facts.hardLimits, mayRaiseLimits(facts))
    const oomScore = yield* oomScoreAdj(limits, facts)
    const cgroupLimits = yield* resources({
      requested: limits,
      pidsLimit: settings.pids_limit,
      minimumMemory: handler.options.container_min_memory,
      facts
    })
    const defaults = baseMounts({
      privileged,
      sharedMemory: input.sharedMemory,
      foreignSysfs: hasForeignSysfs(input.namespaces),
      writableTmpfs: settings.read_only
    })
    const mounts = arrangeMounts(uncoveredDefaults(defaults, input.mounts), input.mounts)
    const propagation = rootfsPropagation(mounts)

    return {
      ociVersion: "1.0.2",
      process: {
        terminal: config.tty,
        user: {
          uid: user.uid,
          gid: user.gid,
          additionalGids: user.additionalGids,
          ...(input.umask === undefined ? {} : { umask: input.umask })
        },
        args,
        env,
        cwd,
        capabilities: input.capabilities,
        rlimits: ownLimits,
        noNewPrivileges: security?.noNewPrivs ?? false,
        ...(oomScore === undefined ? {} : { oomScoreAdj: oomScore }),
        ...(input.apparmorProfile === undefined ? {} : { apparmorProfile: input.apparmorProfile })
      },
      root: {
        path: input.rootfs,
        readonly: (security?.readonlyRootfs ?? false) || settings.read_only
      },
      mounts,
      annotations: annotations({
        requested: config.annotations,
        defaults: handler.options.default_annotations,
        allowed: handler.options.allowed_annotations,
        own: ownAnnotations({
          type: "container",
          id: input.id,
          sandboxId: input.sandboxId,
          name: config.metadata?.name ?? ""
        })
      }),
      linux: {
        ...userMappings(input.namespaces.user),
        namespaces: namespaces(input.namespaces, facts.cgroupVersion),
        cgroupsPath: input.cgroupsPath,
        resources: { ...cgroupLimits, devices: deviceRules(privileged, input.deviceRules) },
        devices: input.devices,
        ...(input.seccomp === undefined ? {} : { seccomp: input.seccomp }),
        ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
        ...confinedPaths(security)
      }
    }
  })
