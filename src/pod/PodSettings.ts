/** Where the pod domain keeps things, and the few figures of the host that it works by. */
import { Context } from "effect"

export class PodSettings extends Context.Service<
  PodSettings,
  {
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
    /** cgroupfs-syntax parent of pods whose request names none. */
    readonly defaultCgroupParent: string
    readonly cgroupManager: "cgroupfs" | "systemd"
    readonly pauseImage: string
    readonly pauseCommand: ReadonlyArray<string>
    readonly conmonPath: string
    readonly conmonEnv: Readonly<Record<string, string>>
    /** Bytes; -1 for no limit. */
    readonly logSizeMax: number
    /** Seconds: a stop request without a grace period of its own never waits less. */
    readonly minimumStopTimeout: number
    readonly bootId: string
    /** Starts that run at once: cores + 1. */
    readonly admittedStarts: number
  }
>()("cricket/pod/PodSettings") {}
