/** Hands a container's specification to its monitor, which has the OCI runtime create it. */
import { Effect, Option } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Conmon } from "../conmon/Conmon.ts"
import { Files } from "../linux/Files.ts"
import { Processes, type ProcessIdentity } from "../linux/Processes.ts"
import { encodeRuntimeSpec, type RuntimeSpec } from "../model/RuntimeSpec.ts"
import type { RuntimeHandler } from "../oci/RuntimeHandlers.ts"
import { StepFailed } from "./PodError.ts"
import { PodSettings } from "./PodSettings.ts"
import { systemPath } from "../model/SystemPath.ts"

export interface Monitored {
  readonly id: string
  readonly name: string
  /** On tmpfs, made by the caller; config.json is written here. */
  readonly bundle: string
  readonly handler: RuntimeHandler
  /** Of the monitor's own; undefined leaves it in the daemon's. */
  readonly monitorCgroup: string | undefined
  /** Absolute; "" for no log. */
  readonly logPath: string
  readonly terminal: boolean
  readonly stdin: boolean
  /** CRI stdin_once: the first client that leaves closes standard input. */
  readonly stdinOnce: boolean
}

/** From "NAME=value"; the OCI runtime inherits it and needs a PATH. */
const environmentOf = (entries: ReadonlyArray<string>): Record<string, string> => ({
  PATH: systemPath,
  ...Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf("=")
      return [entry.slice(0, equals), entry.slice(equals + 1)]
    })
  )
})

/** The created process, waiting for its start. */
export const launchMonitor = Effect.fn("launchMonitor")(function* (container: Monitored, spec: RuntimeSpec) {
  const files = yield* Files
  const conmon = yield* Conmon
  const cgroups = yield* Cgroups
  const processes = yield* Processes
  const settings = yield* PodSettings
  const { id, bundle, handler } = container

  // No sync: the bundle lies on tmpfs and is of use to this boot only.
  const config = new TextEncoder().encode(encodeRuntimeSpec(spec))
  yield* Effect.scoped(
    Effect.flatMap(files.open(`${bundle}/config.json`, "truncate", 0o600), (file) => file.write(config))
  )
  const { monitorCgroup } = container
  const { pid } = yield* conmon.launch({
    containerId: id,
    containerName: container.name,
    bundle,
    runtimePath: handler.path,
    runtimeRoot: handler.root,
    systemdCgroup: settings.cgroupManager === "systemd",
    logPath: container.logPath,
    logSizeMax: settings.logSizeMax,
    noSyncLog: handler.options.no_sync_log,
    exitDirectory: settings.exitsDirectory,
    persistDirectory: bundle,
    socketDirectory: settings.attachSocketDirectory,
    terminal: container.terminal,
    stdin: container.stdin,
    leaveStdinOpen: container.stdin && !container.stdinOnce,
    conmonPath: handler.options.monitor_path === "" ? settings.conmonPath : handler.options.monitor_path,
    conmonEnv: environmentOf(handler.options.monitor_env),
    conmonCgroup: monitorCgroup === undefined ? [] : yield* cgroups.make(monitorCgroup),
    createLimitMs: handler.options.container_create_timeout * 1000,
    logLevel: "error"
  })
  const init = yield* processes.find(pid)
  if (Option.isNone(init)) {
    const cause = new Error(`process ${pid} ended before its start`)
    return yield* new StepFailed({ object: `container ${id}`, step: "create", cause })
  }
  return { pid, startTime: init.value.startTime } satisfies ProcessIdentity
})
