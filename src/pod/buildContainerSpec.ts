/** The OCI specification of a container in its pod. */
import { Effect, Option } from "effect"
import { NamespaceMode } from "../gen/runtime/v1/api.ts"
import { Files } from "../linux/Files.ts"
import { Processes } from "../linux/Processes.ts"
import { ContainerSpecs } from "../oci/ContainerSpecs.ts"
import type { PodNamespaces } from "../oci/spec/namespaces.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import type { ContainerPlan } from "./containerPlan.ts"
import { findContainer } from "./lookup.ts"
import { InvalidRequest } from "./PodError.ts"
import { podDirectory, podNamespaces, podUserNamespace } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"

/** The init of the container that a TARGET names; it has to run, in the same pod (CRI NamespaceOption). */
const targetInit = Effect.fnUntraced(function* ({ config, pod }: ContainerPlan) {
  const options = config.linux?.securityContext?.namespaceOptions
  if (options?.pid !== NamespaceMode.TARGET) return undefined
  const target = yield* findContainer(options.targetId)
  const field = "config.linux.security_context.namespace_options.target_id"
  if (target.podId !== pod.id) return yield* new InvalidRequest({ field, reason: `${target.id} is in another pod` })
  if (target.state._tag !== "Running") {
    return yield* new InvalidRequest({ field, reason: `${target.id} is ${target.state._tag}, not running` })
  }
  const process = yield* (yield* Processes).find(target.state.pid)
  const same = Option.isSome(process) && process.value.startTime === target.state.startTime
  if (!same) return yield* new InvalidRequest({ field, reason: `the process of ${target.id} has ended` })
  return target.state.pid
})

/** Where on the host the container's root file system and its images are mounted. */
export interface ContainerMounts {
  readonly rootfs: string
  /** By container_path. */
  readonly imageSources: ReadonlyMap<string, string>
}

export const buildContainerSpec = Effect.fn("buildContainerSpec")(function* (
  plan: ContainerPlan,
  { rootfs, imageSources }: ContainerMounts
) {
  const { record, pod, config, image, handler, cgroup } = plan
  const files = yield* Files
  const specs = yield* ContainerSpecs
  const store = yield* ContainerStore
  const { namespacesDirectory, runDirectory } = yield* PodSettings
  const directory = podDirectory(runDirectory, pod.id)
  const pins = new Map(podNamespaces(namespacesDirectory, pod).map(({ kind, path }) => [kind, path]))
  const namespaces: PodNamespaces = {
    network: pins.get("net"),
    ipc: pins.get("ipc"),
    uts: pins.get("uts"),
    user: podUserNamespace(namespacesDirectory, pod),
    pausePid: pod.pause?.pid,
    targetPid: yield* targetInit(plan)
  }
  const hostname = pod.hostname === "" ? (yield* files.readText("/proc/sys/kernel/hostname")).trim() : pod.hostname
  const { spec, user } = yield* specs.container({
    id: record.id,
    sandboxId: pod.id,
    config,
    handler,
    image: image.config.config,
    rootfs,
    cgroupsPath: cgroup.cgroupsPath,
    hostname,
    namespaces,
    podFiles: {
      hostname: `${directory}/hostname`,
      resolvConf: `${directory}/resolv.conf`,
      sharedMemory: pod.namespaces.ipc === "pod" ? `${directory}/shm` : "/dev/shm"
    },
    imageSources,
    podAnnotations: pod.annotations,
    volumeDirectory: `${store.directory(record.id)}/volumes`
  })
  return { spec, user: { uid: user.uid, gid: user.gid, groups: user.additionalGids } }
})
