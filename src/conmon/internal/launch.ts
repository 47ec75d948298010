/** One conmon from its start to the line on its sync pipe. */
import { Effect, Fiber, Option, Stream } from "effect"
import { Buffer } from "node:buffer"
import type { Files } from "../../linux/Files.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import type { Child, Processes } from "../../linux/Processes.ts"
import type { LaunchedContainer, LaunchRequest } from "../MonitoredContainer.ts"
import { because, ConmonError } from "../ConmonError.ts"
import { conmonArguments } from "./arguments.ts"
import { findMonitor } from "./monitor.ts"
import { parseSyncLine } from "./syncLine.ts"
import { SIGKILL } from "../../model/Signal.ts"

const syncFd = 3
const startFd = 4
const maxSyncLine = 64 * 1024
const maxComplaint = 8 * 1024
/** Fails with nothing running that the scope or `Conmon.cleanup` would not find. */
export const launchMonitor = Effect.fnUntraced(function* (
  services: { readonly files: Files["Service"]; readonly processes: Processes["Service"] },
  request: LaunchRequest
): Effect.fn.Return<LaunchedContainer, ConmonError> {
  const { files, processes } = services
  const { containerId } = request
  const asMonitorFailure = Effect.mapError(because("Monitor", "create", containerId))
  const monitorFailure = (reason: string) =>
    ConmonError.make({ kind: "Monitor", operation: "create", containerId, reason })

  const program = Effect.gen(function* () {
    const child = yield* asMonitorFailure(
      processes.spawn({
        path: request.conmonPath,
        args: conmonArguments(request),
        env: { ...request.conmonEnv, _OCI_SYNCPIPE: String(syncFd), _OCI_STARTPIPE: String(startFd) },
        cwd: request.bundle,
        fds: ["null", "output", "output", "output", "input"],
        newSession: true
      })
    )
    // Runs before the pipes are closed: conmon takes the end of the start pipe for the permission to go on.
    yield* Effect.addFinalizer(() => Effect.ignore(processes.signal(child.identity, SIGKILL)))
    const complaint = yield* collectComplaint(child)

    for (const directory of request.conmonCgroup ?? []) {
      yield* asMonitorFailure(files.writeExisting(`${directory}/cgroup.procs`, String(child.identity.pid)))
    }
    // EPIPE: conmon has ended already, and says why below.
    yield* child.write(startFd, new Uint8Array(1)).pipe(
      Effect.catchIf(
        ({ code }) => code === "EPIPE",
        () => Effect.void
      ),
      asMonitorFailure
    )
    yield* child.close(startFd)

    const line = yield* asMonitorFailure(firstLine(child.output(syncFd)))
    if (line === "") {
      const exit = yield* child.exit
      const said = yield* complaint.words
      const end = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`
      return yield* monitorFailure(`conmon ended without a report (${end})${said === "" ? "" : `: ${said}`}`)
    }
    const report = parseSyncLine(line)
    switch (report._tag) {
      case "Created":
        return report.pid
      case "Refused": {
        const detail = report.message || (yield* complaint.words) || "failed without a message"
        return yield* ConmonError.make({
          kind: "Runtime",
          operation: "create",
          containerId,
          reason: `${request.runtimePath}: ${detail}`
        })
      }
      case "Malformed":
        return yield* monitorFailure(`conmon reported ${JSON.stringify(report.text.slice(0, 200))}`)
    }
  })

  const pid = yield* Effect.scoped(program)
  const monitor = yield* findMonitor(services, request)
  if (Option.isNone(monitor)) return yield* monitorFailure("conmon ended right after it had created the container")
  return { pid, monitor: { pid: monitor.value.pid, startTime: monitor.value.startTime } }
})

/** The text up to the first newline, or up to the end of the stream. */
const firstLine = (output: Stream.Stream<Uint8Array, LinuxError>): Effect.Effect<string, LinuxError> => {
  const seen: Array<Uint8Array> = []
  let length = 0
  return output.pipe(
    Stream.runForEachWhile((chunk) =>
      Effect.sync(() => {
        seen.push(chunk)
        length += chunk.length
        return !chunk.includes(0x0a) && length < maxSyncLine
      })
    ),
    Effect.map(() => {
      const text = Buffer.concat(seen).toString()
      const end = text.indexOf("\n")
      return end < 0 ? text : text.slice(0, end)
    })
  )
}

/** conmon's own stdout and stderr, kept up to a bound. `words` waits for their end, but not for long. */
const collectComplaint = Effect.fnUntraced(function* (child: Child) {
  let said = ""
  const keep = (fd: number) =>
    child.output(fd).pipe(
      Stream.decodeText,
      Stream.runForEach((text) =>
        Effect.sync(() => {
          if (said.length < maxComplaint) said = (said + text).slice(0, maxComplaint)
        })
      ),
      // What cannot be read cannot be reported either.
      Effect.ignore,
      Effect.forkScoped({ startImmediately: true })
    )
  const readers = [yield* keep(1), yield* keep(2)]
  const words = Fiber.awaitAll(readers).pipe(
    Effect.timeoutOption("500 millis"),
    Effect.map(() => said.trim())
  )
  return { words }
})
