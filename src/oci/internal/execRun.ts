/** Runs a command in a container by the runtime's foreground `exec`, and ends it with all it started. */
import { Effect, Exit, Fiber, Option, Schedule, Scope, Stream } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { isGone, type LinuxError } from "../../linux/LinuxError.ts"
import { type Child, type ChildFd, type ProcessIdentity, Processes } from "../../linux/Processes.ts"
import { Sockets } from "../../linux/Sockets.ts"
import type { Terminal, TerminalSize } from "../../linux/Terminal.ts"
import { generateId } from "../../model/Id.ts"
import { encodeProcess, type Process } from "../../model/RuntimeSpec.ts"
import {
  type ExecNotKilled,
  ExecTimedOut,
  RuntimeCommandFailed,
  type RuntimeError,
  RuntimeUnavailable
} from "../OciError.ts"
import type { RuntimeHandler } from "../RuntimeHandlers.ts"
import { hangUp, killExec } from "./killExec.ts"
import { globalArguments, type RuntimeOptions, runtimeEnvironment } from "./runtimeCommand.ts"
import { errorOfLog } from "./runtimeMessage.ts"

export interface ExecRequest {
  /** By `execProcess`. */
  readonly process: Process
  /** The one that `process` was made with: unique, and fit for a file name. */
  readonly execId: string
  readonly stdin: boolean
}

export interface RunningExec {
  /** Of a terminal: everything. A process left in the background may hold it open after the command's end. */
  readonly stdout: Stream.Stream<Uint8Array, LinuxError>
  readonly stderr: Stream.Stream<Uint8Array, LinuxError>
  /** To the command's standard input, when the request opened it. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  /** No effect on a terminal. */
  readonly closeStdin: Effect.Effect<void>
  /** In characters; no effect without a terminal. */
  readonly resize: (size: TerminalSize) => Effect.Effect<void>
  /**
   * Tells the command that nobody is left at its terminal (SIGHUP): a shell ends, and what asked not to be told goes on.
   * No effect without a terminal.
   */
  readonly hangUp: Effect.Effect<void>
  /** The command's exit code, 128 + n after signal n. Fails when the runtime could not start the command. */
  readonly exit: Effect.Effect<number, RuntimeError>
  /** Kills every process that the exec has started. */
  readonly kill: Effect.Effect<void, ExecNotKilled | LinuxError>
}

export interface ExecSyncRequest extends Omit<ExecRequest, "stdin"> {
  /** Seconds; 0 is no limit. */
  readonly timeout: number
  /** Runs once the runtime has been started, which goes on meanwhile; its failure is that of the exec. */
  readonly placed?: (runtimePid: number) => Effect.Effect<void, { readonly message: string }>
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

const prefix = "exec-"

/** Descriptors of the runtime beside the standard ones: files in memory, which need no place and no removal. */
const processFd = 3
const logFd = 4
const ownFile = (fd: number) => `/proc/self/fd/${fd}`

/** One exec of one container. */
interface Subject {
  readonly handler: RuntimeHandler
  readonly containerId: string
  readonly request: Omit<ExecRequest, "stdin">
}

interface Running {
  readonly child: Child
  readonly exit: RunningExec["exit"]
  readonly kill: RunningExec["kill"]
  readonly hangUp: RunningExec["hangUp"]
}

const unavailable =
  ({ handler, containerId }: Pick<Subject, "handler" | "containerId">) =>
  (cause: { readonly message: string }) =>
    new RuntimeUnavailable({ containerId, runtime: handler.name, command: "exec", reason: cause.message, cause })

export const makeExecs = Effect.fnUntraced(function* (options: RuntimeOptions) {
  const files = yield* Files
  const processes = yield* Processes
  const sockets = yield* Sockets
  const services = yield* Effect.context<Files | Processes>()
  // Of this daemon alone: what a runtime that outlives it still writes finds no place once the next one has begun.
  const directory = posix.join(options.directory, `${prefix}${(yield* generateId).slice(0, 16)}`)
  let begun = false
  let prepared = false
  const prepare = Effect.suspend(() => {
    if (prepared) return Effect.void
    // It may be made although nobody waits for it any more.
    begun = true
    return Effect.map(files.makeDirectory(directory, { mode: 0o700, recursive: true }), () => {
      prepared = true
    })
  })
  yield* Effect.addFinalizer(() => (begun ? Effect.ignore(files.removeTree(directory)) : Effect.void))

  /** The runtime in the foreground. Ends with the scope: a command that still runs then is killed. */
  const begin = Effect.fnUntraced(function* (
    subject: Subject,
    standard: readonly [ChildFd, ChildFd, ChildFd],
    consoleSocket?: string
  ): Effect.fn.Return<Running, RuntimeError, Scope.Scope> {
    const { handler, containerId, request } = subject
    const failed = Effect.mapError(unavailable(subject))
    const pidFile = posix.join(directory, `${request.execId}.pid`)
    let ended = false
    // Not Effect.addFinalizer: that copies the context of the daemon three times for each, and probes are many.
    const scope = yield* Effect.scope
    yield* failed(prepare)
    yield* Scope.addFinalizer(
      scope,
      files.removeVolatile(pidFile).pipe(
        Effect.retry(removal),
        Effect.catch((error) => Effect.logWarning(`exec in container ${containerId}: its file stays`, error))
      )
    )
    const spawn = processes.spawn({
      path: handler.path,
      args: [
        ...globalArguments(handler, options),
        "--log",
        ownFile(logFd),
        "--log-format",
        "json",
        "exec",
        "--process",
        ownFile(processFd),
        "--pid-file",
        pidFile,
        ...(consoleSocket === undefined ? [] : ["--console-socket", consoleSocket]),
        containerId
      ],
      env: runtimeEnvironment(options),
      fds: [...standard, { file: Buffer.from(encodeProcess(request.process)) }, { file: new Uint8Array(0) }]
    })
    const started = (runtime: ProcessIdentity) => ({ containerId, execId: request.execId, runtime, pidFile })
    const killOf = Effect.fnUntraced(function* (runtime: ProcessIdentity) {
      yield* killExec(started(runtime))
      ended = true
    }, Effect.provide(services))
    const child = yield* Effect.uninterruptible(
      Effect.gen(function* () {
        const child = yield* failed(spawn)
        const release = Effect.suspend(() => (ended ? Effect.void : killOf(child.identity)))
        yield* Scope.addFinalizer(
          scope,
          Effect.catch(release, (error) => Effect.logWarning(`exec in container ${containerId} was not ended`, error))
        )
        return child
      })
    )
    const exit = Effect.gen(function* () {
      const status = yield* child.exit
      ended = true
      if (status.code === 0) return 0
      const log = yield* Effect.orElseSucceed(child.content(logFd), () => new Uint8Array(0))
      const failure = errorOfLog(Buffer.from(log).toString("utf8"))
      if (status.code !== null && failure === undefined) return status.code
      const detail = failure ?? `signal ${status.signal} ended it`
      const runtime = handler.name
      return yield* new RuntimeCommandFailed({ containerId, runtime, command: "exec", exitCode: status.code, detail })
    })
    const hungUp = hangUp(started(child.identity)).pipe(
      Effect.catch((error) => Effect.logWarning(`the terminal of an exec in container ${containerId} stays`, error)),
      Effect.provide(services)
    )
    return { child, exit, kill: killOf(child.identity), hangUp: hungUp }
  })

  const onPipes = Effect.fnUntraced(function* (subject: Subject, stdin: boolean) {
    const { child, exit, kill } = yield* begin(subject, [stdin ? "input" : "null", "output", "output"])
    const running: RunningExec = {
      stdout: child.output(1),
      stderr: child.output(2),
      write: (data) => child.write(0, data),
      closeStdin: child.close(0),
      resize: () => Effect.void,
      hangUp: Effect.void,
      exit,
      kill
    }
    return running
  })

  /** Ours to hold: the runtime hands it over and does not stand between. */
  const handedOver = Effect.fnUntraced(function* (subject: Subject) {
    const failed = Effect.mapError(unavailable(subject))
    yield* failed(prepare)
    const path = posix.join(directory, `${subject.request.execId.slice(0, 16)}.tty`)
    const listener = yield* failed(sockets.listenForTerminal(path))
    const receiving = yield* Effect.forkScoped(listener.terminal, { startImmediately: true })
    const running = yield* begin(subject, ["null", "null", "null"], listener.address)
    const first = yield* Effect.raceFirst(
      failed(Effect.asSome(Fiber.join(receiving))),
      Effect.as(running.exit, Option.none<Terminal>())
    )
    // A short command may have ended by now; what it wrote waits in its terminal.
    const terminal = Option.isSome(first)
      ? first
      : yield* failed(Effect.timeoutOption(Fiber.join(receiving), drainTime))
    if (Option.isSome(terminal)) return { ...running, terminal: terminal.value }
    const reason = "it has sent no terminal"
    const { containerId, handler } = subject
    return yield* new RuntimeUnavailable({ containerId, runtime: handler.name, command: "exec", reason })
  })

  /** The runtime's own terminal, from which it copies to that of the command, changes of size included. */
  const copied = Effect.fnUntraced(function* (subject: Subject) {
    const running = yield* begin(subject, ["terminal", "terminal", "terminal"])
    return { ...running, terminal: running.child.terminal! }
  })

  const onTerminal = Effect.fnUntraced(function* (subject: Subject, stdin: boolean) {
    // crun 1.8 does not follow the size of its terminal; runc takes a console socket only when it is detached, and
    // then nobody learns the exit code.
    const { exit, kill, hangUp, terminal } = yield* subject.handler.kind === "crun"
      ? handedOver(subject)
      : copied(subject)
    // crun takes the size from the specification, runc from its own terminal.
    const size = subject.request.process.consoleSize
    if (size !== undefined) yield* Effect.ignore(terminal.resize(size))
    const running: RunningExec = {
      stdout: terminal.output,
      stderr: Stream.empty,
      write: (data) => (stdin ? terminal.write(data) : Effect.void),
      closeStdin: Effect.void,
      // The last program has left it.
      resize: (size) => Effect.ignore(terminal.resize(size)),
      hangUp,
      exit,
      kill
    }
    return running
  })

  /** Ends with its scope: a command that still runs then is killed. */
  const exec = (
    handler: RuntimeHandler,
    containerId: string,
    request: ExecRequest
  ): Effect.Effect<RunningExec, RuntimeError, Scope.Scope> => {
    const subject = { handler, containerId, request }
    return request.process.terminal ? onTerminal(subject, request.stdin) : onPipes(subject, request.stdin)
  }

  /** The whole of a short command. When it is not done in time, or nobody waits for it any more, nothing of it stays. */
  const execSync = Effect.fnUntraced(function* (
    handler: RuntimeHandler,
    containerId: string,
    request: ExecSyncRequest
  ): Effect.fn.Return<ExecSyncResult, RuntimeError | ExecTimedOut | ExecNotKilled, Scope.Scope> {
    const { timeout, placed } = request
    const subject = { handler, containerId, request }
    const failed = unavailable(subject)
    const { child, exit, kill } = yield* begin(subject, ["null", "output", "output"])
    if (placed !== undefined) yield* Effect.mapError(placed(child.identity.pid), failed)
    const stdout = child.collect(1, largestOutput)
    const stderr = child.collect(2, largestOutput)
    const code = yield* timeout > 0 ? Effect.timeoutOption(exit, timeout * 1000) : Effect.asSome(exit)
    if (Option.isNone(code)) {
      yield* kill.pipe(Effect.catchTag("LinuxError", (cause) => Effect.fail(failed(cause))))
      return yield* new ExecTimedOut({ containerId, seconds: timeout })
    }
    const drained = yield* Effect.timeoutOption(
      Effect.all([Effect.exit(stdout.ended), Effect.exit(stderr.ended)]),
      drainTime
    )
    for (const reading of Option.getOrElse(drained, () => [])) {
      if (Exit.isFailure(reading)) yield* Effect.mapError(reading, failed)
    }
    return { exitCode: code.value, stdout: stdout.bytes(), stderr: stderr.bytes() }
  }, Effect.scoped)

  /** Removes the files of a dead daemon's execs. For the start: a living exec would lose its own. */
  const sweep = Effect.gen(function* () {
    const names = yield* Effect.catchIf(files.readDirectory(options.directory), isGone, () => Effect.succeed([]))
    yield* Effect.forEach(
      names.filter((name) => name.startsWith(prefix)),
      (name) => Effect.retry(files.removeTree(posix.join(options.directory, name)), removal),
      { discard: true }
    )
  })

  return { exec, execSync, sweep }
})
