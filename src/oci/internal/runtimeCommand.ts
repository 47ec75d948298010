/** Runs an OCI runtime's commands and types their failures. The command line is that of runc(8) and crun(1). */
import { Effect } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { Processes } from "../../linux/Processes.ts"
import { RuntimeCommandFailed, RuntimeContainerUnknown, type RuntimeError, RuntimeUnavailable } from "../OciError.ts"
import type { RuntimeHandler } from "../RuntimeHandlers.ts"
import { errorOfLog } from "./runtimeMessage.ts"
import { systemPath } from "../../model/SystemPath.ts"

export interface RuntimeOptions {
  /** Cgroups are made by systemd: cgroupsPath has the form "slice:prefix:name". */
  readonly systemdCgroup: boolean
  /** Directory on tmpfs for pid and resources files and console sockets; made with the first of them. */
  readonly directory: string
  /** The daemon's; "" when it has none. */
  readonly xdgRuntimeDirectory: string
}

/** Everything that a runtime finds in its environment. */
export const runtimeEnvironment = (options: RuntimeOptions): Readonly<Record<string, string>> => ({
  PATH: systemPath,
  ...(options.xdgRuntimeDirectory === "" ? {} : { XDG_RUNTIME_DIR: options.xdgRuntimeDirectory })
})

/** What stands before the command; conmon gets the same by --runtime-arg (and -s for systemd). */
export const globalArguments = (handler: RuntimeHandler, options: RuntimeOptions): ReadonlyArray<string> => [
  "--root",
  handler.root,
  ...(options.systemdCgroup ? ["--systemd-cgroup"] : [])
]

/** Both runtimes keep a container's state in a directory of its name. */
export const isUnknown = Effect.fnUntraced(function* (handler: RuntimeHandler, containerId: string) {
  const files = yield* Files
  return yield* files.lstat(posix.join(handler.root, containerId)).pipe(
    Effect.as(false),
    Effect.catch((error) => Effect.succeed(isGone(error)))
  )
})

export interface RuntimeCommand {
  readonly handler: RuntimeHandler
  readonly containerId: string
  readonly command: string
  /** Options of the command; the container's id follows them. */
  readonly options?: ReadonlyArray<string>
  /** What follows the id. */
  readonly operands?: ReadonlyArray<string>
  /** Standard input; else it is empty. */
  readonly input?: Uint8Array
}

/** Answers standard output. */
export const runCommand = Effect.fnUntraced(function* (
  { handler, containerId, command, options: commandOptions = [], operands = [], input }: RuntimeCommand,
  options: RuntimeOptions
): Effect.fn.Return<string, RuntimeError, Files | Processes> {
  const processes = yield* Processes
  const runtime = handler.name
  const result = yield* Effect.mapError(
    processes.run({
      path: handler.path,
      args: [
        ...globalArguments(handler, options),
        "--log-format",
        "json",
        command,
        ...commandOptions,
        containerId,
        ...operands
      ],
      env: runtimeEnvironment(options),
      ...(input !== undefined && { stdin: input })
    }),
    (cause) => new RuntimeUnavailable({ containerId, runtime, command, reason: cause.message, cause })
  )
  if (result.code === 0) return Buffer.from(result.stdout).toString("utf8")
  if (yield* isUnknown(handler, containerId)) return yield* new RuntimeContainerUnknown({ containerId, runtime })
  const detail = errorOfLog(Buffer.from(result.stderr).toString("utf8")) ?? "it gave no reason"
  return yield* new RuntimeCommandFailed({ containerId, runtime, command, exitCode: result.code, detail })
})
