/** What a monitor is asked to do, and what it tells of its container. */
import type { ProcessIdentity } from "../linux/Processes.ts"

export interface LaunchRequest {
  readonly containerId: string
  /** Only for conmon's own log lines. */
  readonly containerName: string
  /** Holds config.json; receives conmon-pidfile, pidfile, attach, ctl, winsz. */
  readonly bundle: string
  readonly runtimePath: string
  /** The runtime's `--root`. */
  readonly runtimeRoot: string
  /** Further global options of the runtime, before `create`. */
  readonly runtimeArgs?: ReadonlyArray<string>
  readonly systemdCgroup?: boolean
  readonly noPivot?: boolean
  /** Absolute; "" for no log. Its directory is made (0755) if missing. */
  readonly logPath: string
  /** Bytes after which the log is cut off and begun anew; absent, 0 or less for no limit. */
  readonly logSizeMax?: number
  readonly noSyncLog?: boolean
  readonly exitDirectory: string
  /** Receives `exit` and `oom`, which outlive the exit directory. */
  readonly persistDirectory: string
  /** Receives the link `<containerId>` by which attach sockets are reached. */
  readonly socketDirectory: string
  readonly terminal: boolean
  readonly stdin: boolean
  readonly leaveStdinOpen: boolean
  readonly conmonPath: string
  /** conmon's whole environment beside its pipes; the runtime inherits it and needs PATH. */
  readonly conmonEnv: Readonly<Record<string, string>>
  /** Existing cgroup directories (one on v2, one per hierarchy on v1) that conmon joins before it starts the runtime. */
  readonly conmonCgroup?: ReadonlyArray<string>
  /** Milliseconds that the runtime may take to create the container. */
  readonly createLimitMs: number
  /** conmon's --log-level: "error", "warn", "info", "debug". */
  readonly logLevel: string
}

export interface LaunchedContainer {
  /** The container's init process, created and not yet started. */
  readonly pid: number
  readonly monitor: ProcessIdentity
}

export interface MonitoredContainer {
  readonly containerId: string
  readonly bundle: string
}

export interface ContainerExit {
  /** 0 to 255; 128 + signal when a signal ended the process. */
  readonly code: number
  /** Nanoseconds since the epoch, by the kernel's coarse clock: up to 10 ms behind. */
  readonly finishedAtNs: bigint
  /** The kernel killed a process of the container for want of memory. */
  readonly oomKilled: boolean
}

export interface ExitFiles {
  readonly containerId: string
  readonly exitDirectory: string
  readonly persistDirectory: string
}
