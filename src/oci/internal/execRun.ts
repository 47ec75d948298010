/** Runs a command in a container by the runtime's foreground `exec`, and ends it with all it started. */
import { Effect, Exit, Fiber, Option, Ref, Schedule, type Scope, Stream } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { isGone, type LinuxError } from "../../linux/LinuxError.ts"
import { type ProcessIdentity, Processes } from "../../linux/Processes.ts"
import { encodeProcess, type Process } from "../../model/RuntimeSpec.ts"
import {
  type ExecNotKilled,
  ExecTimedOut,
  RuntimeCommandFailed,
  type RuntimeError,
  RuntimeUnavailable
} from "../OciError.ts"
import type { RuntimeHandler } from "../RuntimeHandlers.ts"
import { killExec } from "./killExec.ts"
import { globalArguments, loggedError, type RuntimeOptions, runtimeEnvironment } from "./runtimeCommand.ts"

export interface ExecRequest {
  /** By `execProcess`, without a terminal. */
  readonly process: Process
  /** The one that `process` was made with: unique, and fit for a file name. */
  readonly execId: string
  readonly stdin: boolean
}

export interface RunningExec {
  readonly stdout: Stream.Stream<Uint8Array, LinuxError>
  readonly stderr: Stream.Stream<Uint8Array, LinuxError>
  /** To the command's standard input, when the request opened it. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  readonly closeStdin: Effect.Effect<void>
  /** In characters; no effect without a terminal. */
  readonly resize: (size: { readonly width: number; readonly height: number }) => Effect.Effect<void>
  /** The command's exit code, 128 + n after signal n. Fails when the runtime could not start the command. */
  readonly exit: Effect.Effect<number, RuntimeError>
  /** Kills every process that the exec has started. */
  readonly kill: Effect.Effect<void, ExecNotKilled | LinuxError>
}

export interface ExecSyncRequest extends Omit<ExecRequest, "stdin"> {
  /** Seconds; 0 is no limit. */
  readonly timeout: number
}

export interface ExecSyncResult {
  readonly exitCode: number
  /** At most 16 MiB each (CVE-2022-1708): what comes after is read and dropped. */
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
}

const largestOutput = 16 * 1024 * 1024

/** A process left in the background may hold the outputs open for ever; what the command wrote is there at once. */
const drainTime = "1 second"

/** What still cannot be removed then goes at the next start of the daemon. */
const removal = { times: 5, schedule: Schedule.spaced("100 millis") }

type Services = Files | Processes

const prefix = "exec-"

/** Removes the files of a dead daemon's execs. For the start: a living exec would lose its own. */
export const sweepExecs = Effect.fnUntraced(function* ({ directory }: Pick<RuntimeOptions, "directory">) {
  const files = yield* Files
  const names = yield* Effect.catchIf(files.readDirectory(directory), isGone, () => Effect.succeed([]))
  yield* Effect.forEach(
    names.filter((name) => name.startsWith(prefix)),
    (name) => Effect.retry(files.removeTree(posix.join(directory, name)), removal),
    { discard: true }
  )
})

/** Ends with its scope: a command that still runs then is killed. */
export const startExec = Effect.fnUntraced(function* (
  handler: RuntimeHandler,
  containerId: string,
  request: ExecRequest,
  options: RuntimeOptions
): Effect.fn.Return<RunningExec, RuntimeError, Services | Scope.Scope> {
  const files = yield* Files
  const processes = yield* Processes
  const services = yield* Effect.context<Services>()
  const runtime = handler.name
  const unavailable = (cause: LinuxError) =>
    new RuntimeUnavailable({ containerId, runtime, command: "exec", reason: cause.message, cause })

  const directory = posix.join(options.directory, `${prefix}${request.execId}`)
  const [processFile, pidFile, logFile] = ["process.json", "pid", "log"].map((name) => posix.join(directory, name)) as [
    string,
    string,
    string
  ]
  yield* Effect.acquireRelease(
    Effect.mapError(files.makeDirectory(directory, { mode: 0o700, recursive: true }), unavailable),
    () =>
      files.removeTree(directory).pipe(
        Effect.retry(removal),
        Effect.catch((error) => Effect.logWarning(`exec in container ${containerId}: its files stay`, error))
      )
  )
  yield* Effect.scoped(
    Effect.gen(function* () {
      const file = yield* files.open(processFile, "create", 0o600)
      yield* file.write(Buffer.from(encodeProcess(request.process)))
    })
  ).pipe(Effect.mapError(unavailable))

  const ended = yield* Ref.make(false)
  const spawn = processes.spawn({
    path: handler.path,
    args: [
      ...globalArguments(handler, options),
      "--log",
      logFile,
      "--log-format",
      "json",
      "exec",
      "--process",
      processFile,
      "--pid-file",
      pidFile,
      containerId
    ],
    env: runtimeEnvironment(options),
    fds: [request.stdin ? "input" : "null", "output", "output"]
  })
  const killOf = Effect.fnUntraced(function* (runtime: ProcessIdentity) {
    yield* killExec({ containerId, execId: request.execId, runtime, pidFile })
    yield* Ref.set(ended, true)
  }, Effect.provide(services))
  const child = yield* Effect.uninterruptible(
    Effect.gen(function* () {
      const child = yield* Effect.mapError(spawn, unavailable)
      const release = Effect.gen(function* () {
        if (!(yield* Ref.get(ended))) yield* killOf(child.identity)
      })
      yield* Effect.addFinalizer(() =>
        Effect.catch(release, (error) => Effect.logWarning(`exec in container ${containerId} was not ended`, error))
      )
      return child
    })
  )
  const exit = Effect.gen(function* () {
    const status = yield* child.exit
    yield* Ref.set(ended, true)
    if (status.code === 0) return 0
    const failure = yield* Effect.provide(loggedError(logFile), services)
    if (status.code !== null && Option.isNone(failure)) return status.code
    const detail = Option.getOrElse(failure, () => `signal ${status.signal} ended it`)
    return yield* new RuntimeCommandFailed({ containerId, runtime, command: "exec", exitCode: status.code, detail })
  })
  return {
    stdout: child.output(1),
    stderr: child.output(2),
    write: (data) => child.write(0, data),
    closeStdin: child.close(0),
    resize: () => Effect.void,
    exit,
    kill: killOf(child.identity)
  }
})

/** Keeps the beginning of a stream and reads on to its end. */
const collect = Effect.fnUntraced(function* (stream: Stream.Stream<Uint8Array, LinuxError>) {
  const chunks: Array<Uint8Array> = []
  let size = 0
  const reading = yield* stream.pipe(
    Stream.runForEach((chunk) =>
      Effect.sync(() => {
        if (size >= largestOutput) return
        const kept = chunk.subarray(0, largestOutput - size)
        chunks.push(kept)
        size += kept.length
      })
    ),
    Effect.forkChild({ startImmediately: true })
  )
  return { reading, result: Effect.sync(() => Buffer.concat(chunks, size)) }
})

/** The whole of a short command. When it is not done in time, or nobody waits for it any more, nothing of it stays. */
export const runExecSync = Effect.fnUntraced(function* (
  handler: RuntimeHandler,
  containerId: string,
  request: ExecSyncRequest,
  options: RuntimeOptions
): Effect.fn.Return<ExecSyncResult, RuntimeError | ExecTimedOut | ExecNotKilled, Services> {
  const { timeout } = request
  const unavailable = (cause: LinuxError) =>
    new RuntimeUnavailable({
      containerId,
      runtime: handler.name,
      command: "exec",
      reason: cause.message,
      cause
    })
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const exec = yield* startExec(handler, containerId, { ...request, stdin: false }, options)
      const stdout = yield* collect(exec.stdout)
      const stderr = yield* collect(exec.stderr)
      const exit = yield* timeout > 0 ? Effect.timeoutOption(exec.exit, timeout * 1000) : Effect.asSome(exec.exit)
      if (Option.isNone(exit)) {
        yield* exec.kill.pipe(Effect.catchTag("LinuxError", (cause) => Effect.fail(unavailable(cause))))
        return yield* new ExecTimedOut({ containerId, seconds: timeout })
      }
      const drained = yield* Effect.timeoutOption(
        Effect.all([Fiber.await(stdout.reading), Fiber.await(stderr.reading)]),
        drainTime
      )
      for (const reading of Option.getOrElse(drained, () => [])) {
        if (Exit.isFailure(reading)) yield* Effect.mapError(reading, unavailable)
      }
      return { exitCode: exit.value, stdout: yield* stdout.result, stderr: yield* stderr.result }
    })
  )
})
