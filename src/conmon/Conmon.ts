/** conmon, the monitor of each container: it owns the container's process, output and exit code, daemon or no daemon. */
import { Context, Effect, Layer, Option, type Scope, type Stream } from "effect"
import { posix } from "node:path"
import { Files } from "../linux/Files.ts"
import { isGone, type LinuxError } from "../linux/LinuxError.ts"
import { Processes, type ProcessIdentity } from "../linux/Processes.ts"
import { Sockets } from "../linux/Sockets.ts"
import { because, ConmonError } from "./ConmonError.ts"
import type {
  ContainerExit,
  ExitFiles,
  LaunchedContainer,
  LaunchRequest,
  MonitoredContainer
} from "./MonitoredContainer.ts"
import { type Attachment, attachTo, type WantedStreams } from "./internal/attach.ts"
import { readExitFiles, watchExits } from "./internal/exits.ts"
import { launchMonitor } from "./internal/launch.ts"
import { inspectLogPath } from "./internal/logPath.ts"
import { endMonitor, findMonitor, findMonitors } from "./internal/monitor.ts"

export type { Attachment, WantedStreams } from "./internal/attach.ts"

export class Conmon extends Context.Service<
  Conmon,
  {
    /**
     * Starts a monitor that has the runtime create the container. When it fails or is interrupted, the monitor and
     * everything below it has been killed and its files are gone; the runtime's own state and the cgroup are the
     * caller's to delete.
     */
    readonly launch: (request: LaunchRequest) => Effect.Effect<LaunchedContainer, ConmonError>
    /**
     * Gives back whatever is left of a monitor: kills it and what it still supervises, removes its sockets, FIFOs, pid
     * file, link and exit file. Idempotent, bounded (some seconds), works after a restart of the daemon.
     */
    readonly cleanup: (
      container: MonitoredContainer & Pick<LaunchRequest, "socketDirectory" | "exitDirectory">
    ) => Effect.Effect<void, ConmonError>
    /** The living monitor, None when nobody watches the container. */
    readonly monitor: (container: MonitoredContainer) => Effect.Effect<Option.Option<ProcessIdentity>>
    /** Ids of ended containers: those there at the start, then each as it ends. Run it once per directory. */
    readonly exits: (exitDirectory: string) => Stream.Stream<string>
    /** None while the container has not ended. The log is complete when this gives a value. */
    readonly readExit: (container: ExitFiles) => Effect.Effect<Option.Option<ContainerExit>, ConmonError>
    /**
     * After the log was moved away: conmon begins a new file at the path, which is there when this returns. Does
     * nothing when conmon writes to the file at that path already, since a new one would replace it.
     */
    readonly reopenLog: (
      container: MonitoredContainer & { readonly logPath: string }
    ) => Effect.Effect<void, ConmonError>
    /** Sets the size of the container's terminal in characters; conmon takes at most 1000 each way. */
    readonly resize: (
      container: MonitoredContainer & { readonly width: number; readonly height: number }
    ) => Effect.Effect<void, ConmonError>
    /** Output from now on, and standard input. Ends with its scope; as many at a time as one likes. */
    readonly attach: (
      container: MonitoredContainer & WantedStreams
    ) => Effect.Effect<Attachment, ConmonError, Scope.Scope>
  }
>()("cricket/conmon/Conmon") {
  static readonly layer: Layer.Layer<Conmon, never, Files | Processes | Sockets> = Layer.suspend(() =>
    Layer.effect(Conmon, make)
  )
}

const reopening = "reopen the log"

const gone = (operation: string, containerId: string, cause?: LinuxError) =>
  ConmonError.make({
    kind: "Gone",
    operation,
    containerId,
    reason: "its monitor (conmon) is gone; the container has ended or conmon was killed",
    ...(cause !== undefined && { cause })
  })

const tooSlow = ({ containerId, runtimePath, createLimitMs }: LaunchRequest) =>
  ConmonError.make({
    kind: "Runtime",
    operation: "create",
    containerId,
    reason: `${runtimePath} has not created the container within ${createLimitMs / 1000} s and was killed`
  })

/** Files in the bundle that belong to the monitor; the pid file of the container is the runtime's. */
const monitorFile = /^(attach|ctl|winsz|conmon-pidfile|conmon-term\..*)$/
const reopenLimit = "5 seconds"
const maxTerminalSize = 1000

const make = Effect.gen(function* () {
  const files = yield* Files
  const processes = yield* Processes
  const sockets = yield* Sockets
  const services = { files, processes }

  const launch = Effect.fn("Conmon.launch")(function* (request: LaunchRequest) {
    const { containerId, exitDirectory, socketDirectory } = request
    const hadLog = request.logPath === "" ? true : yield* prepareLog(request)
    yield* Effect.forEach([exitDirectory, socketDirectory], (directory) =>
      files.makeDirectory(directory, { mode: 0o755, recursive: true })
    ).pipe(Effect.mapError(because("State", "create", containerId)))
    return yield* launchMonitor(services, request).pipe(
      Effect.timeoutOrElse({
        duration: request.createLimitMs,
        orElse: () => Effect.fail(tooSlow(request))
      }),
      Effect.onError(() =>
        cleanup(request).pipe(
          Effect.andThen(hadLog ? Effect.void : removeEmptyLog(request.logPath)),
          Effect.catch((error) => Effect.logWarning(`clean-up after a failed create: ${error.message}`))
        )
      )
    )
  })

  /** Gives whether there was a log already. */
  const prepareLog = Effect.fnUntraced(function* ({ containerId, logPath }: LaunchRequest) {
    const existing = yield* inspectLogPath(files, { operation: "create", containerId, logPath })
    if (Option.isSome(existing)) return true
    yield* files
      .makeDirectory(posix.dirname(logPath), { mode: 0o755, recursive: true })
      .pipe(Effect.mapError(because("Log", "create", containerId)))
    return false
  })

  const removeEmptyLog = (logPath: string) =>
    Effect.ignore(
      Effect.flatMap(files.lstat(logPath), ({ size }) => (size === 0 ? files.removeFile(logPath) : Effect.void))
    )

  const cleanup = Effect.fn("Conmon.cleanup")(function* (
    container: MonitoredContainer & Pick<LaunchRequest, "socketDirectory" | "exitDirectory">
  ) {
    const { containerId, bundle, socketDirectory, exitDirectory } = container
    const failed = because("State", "clean up the monitor", containerId)
    const monitors = yield* findMonitors(services, container).pipe(Effect.mapError(failed))
    for (const monitor of monitors) {
      const ended = yield* endMonitor(services, monitor).pipe(Effect.mapError(failed))
      if (!ended) {
        return yield* ConmonError.make({
          kind: "Monitor",
          operation: "clean up the monitor",
          containerId,
          reason: `conmon (pid ${monitor.pid}) does not end after SIGKILL; it hangs in the kernel`
        })
      }
    }
    const names = yield* absentIs([])(files.readDirectory(bundle)).pipe(Effect.mapError(failed))
    // Under a temporary name too, when it was ended while it wrote.
    const exits = yield* absentIs([])(files.readDirectory(exitDirectory)).pipe(Effect.mapError(failed))
    const leftovers = [
      ...names.filter((name) => monitorFile.test(name)).map((name) => `${bundle}/${name}`),
      ...exits.filter((name) => name.startsWith(`${containerId}.`)).map((name) => `${exitDirectory}/${name}`),
      `${socketDirectory}/${containerId}`,
      `${exitDirectory}/${containerId}`
    ]
    yield* Effect.forEach(leftovers, (path) => absentIs(undefined)(files.removeFile(path))).pipe(
      Effect.mapError(failed)
    )
  })

  const monitor = Effect.fn("Conmon.monitor")(function* (container: MonitoredContainer) {
    return Option.map(yield* findMonitor(services, container), ({ pid, startTime }) => ({ pid, startTime }))
  })

  const readExit = Effect.fn("Conmon.readExit")((container: ExitFiles) => readExitFiles(files, container))

  const control = (operation: string, { containerId, bundle }: MonitoredContainer, line: string) =>
    files.writeExisting(`${bundle}/ctl`, line).pipe(
      Effect.mapError((error) =>
        // ENXIO: a FIFO that nobody reads.
        error.code === "ENXIO" || isGone(error)
          ? gone(operation, containerId, error)
          : because("State", operation, containerId)(error)
      )
    )

  const reopenLog = Effect.fn("Conmon.reopenLog")(function* (
    container: MonitoredContainer & { readonly logPath: string }
  ) {
    const operation = reopening
    const subject = { operation, containerId: container.containerId, logPath: container.logPath }
    const before = yield* inspectLogPath(files, subject)
    if (Option.isSome(before) && (yield* writesTo(container, container.logPath))) return
    // conmon exits, and leaves the container without a monitor, when it cannot open the new file.
    const directory = yield* files
      .stat(posix.dirname(container.logPath))
      .pipe(Effect.mapError(because("Log", operation, container.containerId)))
    if (directory.kind !== "directory") {
      return yield* ConmonError.make({
        kind: "Log",
        operation,
        containerId: container.containerId,
        reason: "the log's directory is not a directory"
      })
    }
    yield* control(operation, container, "2 0 0\n")
    const begun = yield* Effect.timeoutOption(
      newLog(
        container,
        Option.map(before, ({ inode }) => inode)
      ),
      reopenLimit
    )
    if (Option.isSome(begun)) return
    return yield* ConmonError.make({
      kind: "Monitor",
      operation,
      containerId: container.containerId,
      reason: `conmon has not begun a new file at ${container.logPath} within ${reopenLimit}`
    })
  })

  /** Waits until another file than `before` is at the log's path, for as long as there is somebody to make it. */
  const newLog = Effect.fnUntraced(function* (
    container: MonitoredContainer & { readonly logPath: string },
    before: Option.Option<number>
  ) {
    const subject = { operation: reopening, containerId: container.containerId, logPath: container.logPath }
    for (let pause = 1; ; pause = Math.min(50, pause * 2)) {
      const monitored = Option.isSome(yield* findMonitor(services, container))
      const now = yield* inspectLogPath(files, subject)
      if (Option.isSome(now) && now.value.inode !== Option.getOrUndefined(before)) return
      if (!monitored) return yield* gone(reopening, container.containerId)
      yield* Effect.sleep(pause)
    }
  })

  /** Whether the monitor has that very file open: the kernel names open files by where they are now. */
  const writesTo = Effect.fnUntraced(
    function* (container: MonitoredContainer, path: string) {
      const monitor = yield* findMonitor(services, container)
      if (Option.isNone(monitor)) return false
      const real = yield* files.realPath(path)
      const descriptors = `/proc/${monitor.value.pid}/fd`
      const open = yield* Effect.forEach(yield* files.readDirectory(descriptors), (fd) =>
        files.readLink(`${descriptors}/${fd}`).pipe(Effect.orElseSucceed(() => ""))
      )
      return open.includes(real)
    },
    Effect.orElseSucceed(() => false)
  )

  const resize = Effect.fn("Conmon.resize")(function* (
    container: MonitoredContainer & { readonly width: number; readonly height: number }
  ) {
    const size = (characters: number) => Math.min(maxTerminalSize, Math.max(0, Math.trunc(characters)))
    yield* control("resize the terminal", container, `1 ${size(container.height)} ${size(container.width)}\n`)
  })

  const attach = Effect.fn("Conmon.attach")((container: MonitoredContainer & WantedStreams) =>
    attachTo(sockets, `${container.bundle}/attach`, container).pipe(
      Effect.mapError((error) =>
        // ECONNREFUSED: a socket that nobody listens at any more.
        error.code === "ECONNREFUSED" || isGone(error)
          ? gone("attach to", container.containerId, error)
          : because("State", "attach to", container.containerId)(error)
      )
    )
  )

  return Conmon.of({
    attach,
    launch,
    cleanup,
    monitor,
    exits: (exitDirectory) => watchExits(files, exitDirectory),
    readExit,
    reopenLog,
    resize
  })
})

const absentIs =
  <B>(absent: B) =>
  <A>(self: Effect.Effect<A, LinuxError>): Effect.Effect<A | B, LinuxError> =>
    Effect.catchIf(self, isGone, () => Effect.succeed(absent))
