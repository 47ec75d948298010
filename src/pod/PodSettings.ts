/** Where the pod domain keeps things, and the few figures of the host that it works by. */
import { Context, Effect, Layer } from "effect"
import { Settings } from "../config/Settings.ts"
import { Files } from "../linux/Files.ts"

interface PodSettingsShape {
  /** Survives a reboot: records (`<root>/cricket`). */
  readonly stateDirectory: string
  /** On tmpfs: files of running pods (`<runroot>/cricket`). */
  readonly runDirectory: string
  /** Namespaces are pinned at `<dir>/{netns,ipcns,utsns}/<pod id>`. */
  readonly namespacesDirectory: string
  readonly exitsDirectory: string
  readonly attachSocketDirectory: string
  /** Log directory of pods whose request names none. */
  readonly logDirectory: string
  /** cgroupfs-syntax parent of pods whose request names none; "" where systemd keeps its own slice. */
  readonly defaultCgroupParent: string
  readonly cgroupManager: "cgroupfs" | "systemd"
  /** "name=value". */
  readonly defaultSysctls: ReadonlyArray<string>
  readonly pauseImage: string
  readonly pauseCommand: ReadonlyArray<string>
  /** For handlers that name no monitor of their own. */
  readonly conmonPath: string
  /** Bytes; -1 for no limit. */
  readonly logSizeMax: number
  /** /proc/sys/kernel/random/boot_id: what was started under another one does not run any more. */
  readonly bootId: string
  /** Starts that run at once: cores + 1. More add latency and no throughput. */
  readonly admittedStarts: number
}

export class PodSettings extends Context.Service<PodSettings, PodSettingsShape>()("cricket/pod/PodSettings") {
  static readonly layer = (host: { readonly cores: number }) =>
    Layer.effect(
      PodSettings,
      Effect.gen(function* () {
        const { crio, runtime, image } = yield* Settings
        const files = yield* Files
        const bootId = (yield* files.readText("/proc/sys/kernel/random/boot_id")).trim()
        return {
          stateDirectory: `${crio.root}/cricket`,
          runDirectory: `${crio.runroot}/cricket`,
          namespacesDirectory: runtime.namespaces_dir,
          exitsDirectory: runtime.container_exits_dir,
          attachSocketDirectory: runtime.container_attach_socket_dir,
          logDirectory: crio.log_dir,
          defaultCgroupParent: runtime.cgroup_manager === "cgroupfs" ? "/crio" : "",
          cgroupManager: runtime.cgroup_manager,
          defaultSysctls: runtime.default_sysctls,
          pauseImage: image.pause_image,
          pauseCommand: image.pause_command.split(" ").filter((word) => word !== ""),
          conmonPath: "/usr/bin/conmon",
          logSizeMax: runtime.log_size_max,
          bootId,
          admittedStarts: host.cores + 1
        }
      })
    )
}
