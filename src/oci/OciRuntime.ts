/** The commands of an OCI runtime on one container. `create` is conmon's; everything later comes here. */
import { Context, Effect, Layer, Result, Schema, type Scope } from "effect"
import { posix } from "node:path"
import { Files } from "../linux/Files.ts"
import { isGone, type LinuxError } from "../linux/LinuxError.ts"
import { Processes } from "../linux/Processes.ts"
import { encodeResources, type Resources } from "../model/RuntimeSpec.ts"
import { Sockets } from "../linux/Sockets.ts"
import {
  type ExecRequest,
  type ExecSyncRequest,
  type ExecSyncResult,
  makeExecs,
  type RunningExec
} from "./internal/execRun.ts"
import { isUnknown, runCommand, type RuntimeOptions } from "./internal/runtimeCommand.ts"
import { type ExecNotKilled, type ExecTimedOut, type RuntimeError, RuntimeUnavailable } from "./OciError.ts"
import type { RuntimeHandler } from "./RuntimeHandlers.ts"

export type { ExecRequest, ExecSyncRequest, ExecSyncResult, RunningExec } from "./internal/execRun.ts"
export { globalArguments, runtimeEnvironment, type RuntimeOptions } from "./internal/runtimeCommand.ts"

/** runtime.md "State"; paused is crun's and runc's own. */
const State = Schema.Struct({
  status: Schema.Literals(["creating", "created", "running", "paused", "stopped"]),
  /** 0 when stopped. */
  pid: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  bundle: Schema.String
})
export type RuntimeState = typeof State.Type

const decodeState = Schema.decodeUnknownResult(Schema.fromJsonString(State))

export class OciRuntime extends Context.Service<
  OciRuntime,
  {
    readonly state: (handler: RuntimeHandler, containerId: string) => Effect.Effect<RuntimeState, RuntimeError>
    readonly start: (handler: RuntimeHandler, containerId: string) => Effect.Effect<void, RuntimeError>
    /** Signals the container's init. False when it has ended or the runtime does not know it. */
    readonly kill: (
      handler: RuntimeHandler,
      containerId: string,
      signal: number
    ) => Effect.Effect<boolean, RuntimeError>
    /**
     * Removes an ended container's state and cgroup. Succeeds when the runtime does not know it. Never forces. A start
     * that still waits for the container, also one that a dead daemon has left, ends.
     */
    readonly delete: (handler: RuntimeHandler, containerId: string) => Effect.Effect<void, RuntimeError>
    /** Changes limits of a running container; what is absent stays. */
    readonly update: (
      handler: RuntimeHandler,
      containerId: string,
      resources: Resources
    ) => Effect.Effect<void, RuntimeError>
    /** Starts a command, on a terminal if its process says so; closing the scope kills what of it still runs. */
    readonly exec: (
      handler: RuntimeHandler,
      containerId: string,
      request: ExecRequest
    ) => Effect.Effect<RunningExec, RuntimeError, Scope.Scope>
    /** Runs a command to its end. At the timeout, or when interrupted, all its processes are killed. */
    readonly execSync: (
      handler: RuntimeHandler,
      containerId: string,
      request: ExecSyncRequest
    ) => Effect.Effect<ExecSyncResult, RuntimeError | ExecTimedOut | ExecNotKilled>
    /** Removes what the execs of a dead daemon have left on disk. At start, before the first exec. */
    readonly sweep: Effect.Effect<void, LinuxError>
  }
>()("cricket/oci/OciRuntime") {
  static readonly layer = (options: RuntimeOptions): Layer.Layer<OciRuntime, never, Files | Processes | Sockets> =>
    Layer.effect(
      OciRuntime,
      Effect.gen(function* () {
        const services = yield* Effect.context<Files | Processes>()
        const files = yield* Files
        const execs = yield* makeExecs(options)

        const state = Effect.fn("OciRuntime.state")(function* (handler: RuntimeHandler, containerId: string) {
          const text = yield* runCommand({ handler, containerId, command: "state" }, options)
          const decoded = decodeState(text)
          if (Result.isSuccess(decoded)) return decoded.success
          const reason = `its answer is not a container's state: ${decoded.failure.message}`
          return yield* new RuntimeUnavailable({ containerId, runtime: handler.name, command: "state", reason })
        }, Effect.provide(services))

        const start = Effect.fn("OciRuntime.start")(function* (handler: RuntimeHandler, containerId: string) {
          yield* runCommand({ handler, containerId, command: "start" }, options)
        }, Effect.provide(services))

        const kill = Effect.fn("OciRuntime.kill")(function* (
          handler: RuntimeHandler,
          containerId: string,
          signal: number
        ) {
          const command = { handler, containerId, command: "kill", operands: [String(signal)] }
          return yield* runCommand(command, options).pipe(
            Effect.as(true),
            Effect.catchTags({
              RuntimeContainerUnknown: () => Effect.succeed(false),
              RuntimeCommandFailed: Effect.fnUntraced(function* (failure) {
                const { status } = yield* state(handler, containerId)
                return status === "stopped" ? false : yield* failure
              })
            }),
            Effect.catchTag("RuntimeContainerUnknown", () => Effect.succeed(false))
          )
        }, Effect.provide(services))

        const remove = Effect.fn("OciRuntime.delete")(
          function* (handler: RuntimeHandler, containerId: string) {
            if (yield* isUnknown(handler, containerId)) return
            // crun's start opens this FIFO to write, which waits for ever when the process that would read is dead. It is
            // read until its name is gone, so that none comes too late.
            yield* files.attendFifo(posix.join(handler.root, containerId, "exec.fifo")).pipe(
              Effect.catchIf(isGone, () => Effect.void),
              Effect.mapError((cause) => {
                const command = { containerId, runtime: handler.name, command: "delete" }
                return new RuntimeUnavailable({ ...command, reason: cause.message, cause })
              })
            )
            yield* runCommand({ handler, containerId, command: "delete" }, options).pipe(
              Effect.catchTag("RuntimeContainerUnknown", () => Effect.void)
            )
          },
          Effect.scoped,
          Effect.provide(services)
        )

        const update = Effect.fn("OciRuntime.update")(function* (
          handler: RuntimeHandler,
          containerId: string,
          resources: Resources
        ) {
          // No file to be left behind: /dev/stdin is a path to every runtime.
          const input = Buffer.from(encodeResources(resources))
          const command = { handler, containerId, command: "update", options: ["--resources", "/dev/stdin"], input }
          yield* runCommand(command, options)
        }, Effect.provide(services))

        const exec = Effect.fn("OciRuntime.exec")(execs.exec)
        const execSync = Effect.fn("OciRuntime.execSync")(execs.execSync)

        return OciRuntime.of({ state, start, kill, delete: remove, update, exec, execSync, sweep: execs.sweep })
      })
    )
}
