/** conmon's command line, option by option as CRI-O writes it. */
import type { LaunchRequest } from "../MonitoredContainer.ts"

export const conmonPidFile = (bundle: string): string => `${bundle}/conmon-pidfile`

/** Written by the OCI runtime: the container's init process. */
export const containerPidFile = (bundle: string): string => `${bundle}/pidfile`

export const conmonArguments = (request: LaunchRequest): ReadonlyArray<string> => {
  const runtimeArguments = [`--root=${request.runtimeRoot}`, ...(request.runtimeArgs ?? [])]
  const valued: ReadonlyArray<readonly [string, string]> = [
    ["-b", request.bundle],
    ["-c", request.containerId],
    ["--exit-dir", request.exitDirectory],
    ["-l", request.logPath === "" ? "none" : request.logPath],
    ["--log-level", request.logLevel],
    ["-n", request.containerName],
    ["-P", conmonPidFile(request.bundle)],
    ["-p", containerPidFile(request.bundle)],
    ["--persist-dir", request.persistDirectory],
    ["-r", request.runtimePath],
    ...runtimeArguments.map((argument) => ["--runtime-arg", argument] as const),
    ["--socket-dir-path", request.socketDirectory],
    ["-u", request.containerId]
  ]
  const { logSizeMax = 0 } = request
  return [
    ...valued.flat(),
    "--syslog",
    ...(request.systemdCgroup === true ? ["-s"] : []),
    ...(logSizeMax > 0 ? ["--log-size-max", String(logSizeMax)] : []),
    ...(request.noSyncLog === true ? ["--no-sync-log"] : []),
    ...(request.noPivot === true ? ["--no-pivot"] : []),
    ...(request.terminal ? ["-t"] : request.stdin ? ["-i"] : []),
    ...(request.stdin && request.leaveStdinOpen ? ["--leave-stdin-open"] : [])
  ]
}

/** True for the command line of the monitor of that container, and of no runtime that it has started. */
export const isMonitorOf = (argv: ReadonlyArray<string>, containerId: string): boolean =>
  argv.some((argument, index) => argument === "-c" && argv[index + 1] === containerId)
