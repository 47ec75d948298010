/** Processes of the real host: posix_spawn for children, pidfds and /proc for all. */
import { Deferred, Effect, Fiber, Option, Scope, Stream } from "effect"
import type { LinuxError } from "../LinuxError.ts"
import type {
  Child,
  ExitStatus,
  ProcessIdentity,
  Processes,
  RunRequest,
  RunResult,
  SpawnRequest
} from "../Processes.ts"
import { attempt, attemptSync, codeOf, refuse, Refused } from "./attempt.ts"
import { close, type Fd, onReadable, pidfdSendSignal, posixSpawn } from "./native.ts"
import { firstSource, Plumbing, readFrom } from "./plumbing.ts"
import { listProcesses, openProcess, readProcess } from "./procTable.ts"
import { onExit } from "./reaper.ts"

// A killed child that sleeps in the kernel cannot end yet; its scope does not wait longer for it. It is reaped later.
const reapWait = "5 seconds"
// A grandchild may keep the outputs of a command open after the command's end.
const drainWait = "2 seconds"
const defaultMaxOutput = 1024 * 1024

interface Started {
  readonly pid: number
  readonly exit: Deferred.Deferred<ExitStatus>
  readonly plumbing: Plumbing
}

const checkRequest = (request: SpawnRequest): void => {
  if (!request.path.startsWith("/")) throw new Refused("EINVAL", "is not an absolute path")
  if (request.fds.length > firstSource) throw new Refused("EINVAL", `has more than ${firstSource} descriptors`)
  for (const text of [request.path, request.cwd ?? "", ...request.args, ...Object.entries(request.env).flat()]) {
    // It would end the C string there.
    if (text.includes("\0")) throw new Refused("EINVAL", `has a NUL byte in ${JSON.stringify(text)}`)
  }
}

/** Even a child that has ended already is in the table until we reap it. */
const identify = (pid: number): ProcessIdentity => {
  try {
    return { pid, startTime: readProcess(pid)!.startTime }
  } catch (error) {
    // We are out of descriptors, say. Nobody will own the child, so it must go.
    process.kill(pid, "SIGKILL")
    onExit(pid, () => {})
    throw error
  }
}

const start = async <Named>(
  request: SpawnRequest,
  name: (pid: number) => Named
): Promise<Started & { readonly identity: Named }> => {
  checkRequest(request)
  const plumbing = new Plumbing(request)
  try {
    const pid = await posixSpawn({
      path: request.path,
      argv: [request.path, ...request.args],
      environment: Object.entries(request.env).map(([name, value]) => `${name}=${value}`),
      cwd: request.cwd,
      fds: plumbing.sources,
      newSession: plumbing.terminal !== undefined || (request.newSession ?? false)
    })
    const exit = Deferred.makeUnsafe<ExitStatus>()
    // Before it is reaped.
    const identity = name(pid)
    onExit(pid, (status) => Deferred.doneUnsafe(exit, Effect.succeed(status)))
    return { pid, identity, exit, plumbing }
  } catch (error) {
    plumbing.release()
    throw error
  } finally {
    plumbing.closeSources()
  }
}

const stop = Effect.fnUntraced(function* (started: Started) {
  started.plumbing.release()
  // The pid is ours as long as we have not reaped it.
  if (Deferred.isDoneUnsafe(started.exit)) return
  process.kill(started.pid, "SIGKILL")
  yield* Deferred.await(started.exit).pipe(Effect.interruptible, Effect.timeoutOption(reapWait))
})

const pipesOf = ({ path }: SpawnRequest, { plumbing, exit }: Started): Omit<Child, "identity"> => {
  const { outlets, inlets, files, terminal } = plumbing
  const notOpen = (operation: string, fd: number) =>
    refuse(operation, `descriptor ${fd} of ${path}`, "EBADF", "is no pipe of that direction")
  return {
    exit: Deferred.await(exit),
    output: (fd) => outlets.get(fd)?.stream ?? Stream.fail(notOpen("read", fd)),
    collect: (fd, limit) =>
      outlets.get(fd)?.collect(limit) ?? { bytes: () => nothing, ended: Effect.fail(notOpen("read", fd)) },
    content: (fd) => {
      const file = files.get(fd)
      if (file === undefined) return Effect.fail(refuse("read", `descriptor ${fd} of ${path}`, "EBADF", "is no file"))
      return attemptSync("read", `descriptor ${fd} of ${path}`, () => readFrom(file))
    },
    write: (fd, data) => inlets.get(fd)?.write(data) ?? Effect.fail(notOpen("write", fd)),
    close: (fd) =>
      Effect.sync(() => {
        outlets.get(fd)?.release()
        inlets.get(fd)?.release()
      }),
    ...(terminal !== undefined && { terminal })
  }
}
const nothing = new Uint8Array(0)

const startOwned = <Named>(request: SpawnRequest, name: (pid: number) => Named) =>
  // Effect.acquireRelease would copy the context of the caller at each release.
  Effect.uninterruptible(
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.tap(
        attempt("spawn", request.path, () => start(request, name)),
        (started) => Scope.addFinalizer(scope, stop(started))
      )
    )
  )

const spawn = Effect.fn("Processes.spawn")(function* (
  request: SpawnRequest
): Effect.fn.Return<Child, LinuxError, Scope.Scope> {
  const child = yield* startOwned(request, identify)
  return { ...pipesOf(request, child), identity: child.identity }
})

const run = Effect.fn("Processes.run")(function* (
  request: RunRequest
): Effect.fn.Return<RunResult, LinuxError, Scope.Scope> {
  const fds = [request.stdin === undefined ? "null" : "input", "output", "output"] as const
  // Nobody learns who it is: a child that was looked up in /proc is dearer to reap.
  const child = pipesOf({ ...request, fds }, yield* startOwned({ ...request, fds }, () => undefined))
  const limit = request.maxOutput ?? defaultMaxOutput
  const stdout = child.collect(1, limit)
  const stderr = child.collect(2, limit)
  const feeding =
    request.stdin === undefined
      ? Effect.void
      : child.write(0, request.stdin).pipe(
          // A command need not read all it is offered.
          Effect.catchIf(
            (error) => error.code === "EPIPE",
            () => Effect.void
          ),
          Effect.ensuring(child.close(0))
        )
  const transfer = yield* Effect.all([feeding, stdout.ended, stderr.ended], {
    concurrency: "unbounded",
    discard: true
  }).pipe(Effect.forkScoped)
  const status = yield* child.exit
  yield* Fiber.join(transfer).pipe(Effect.timeoutOption(drainWait))
  return { ...status, stdout: stdout.bytes(), stderr: stderr.bytes() }
}, Effect.scoped)

const signal = Effect.fn("Processes.signal")((identity: ProcessIdentity, number: number) =>
  attemptSync(`signal ${number}`, `process ${identity.pid}`, () => {
    const fd = openProcess(identity)
    if (fd === undefined) return false
    try {
      pidfdSendSignal(fd, number)
      return true
    } catch (error) {
      if (codeOf(error) === "ESRCH") return false
      throw error
    } finally {
      close(fd)
    }
  })
)

const readable = (fd: Fd): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const stopWatching = onReadable(fd, () => resume(Effect.void))
    return Effect.sync(stopWatching)
  })

const awaitEnd = Effect.fn("Processes.awaitEnd")((identity: ProcessIdentity) =>
  Effect.acquireUseRelease(
    attemptSync("wait", `process ${identity.pid}`, () => openProcess(identity)),
    (fd) => (fd === undefined ? Effect.void : readable(fd)),
    (fd) => (fd === undefined ? Effect.void : Effect.sync(() => close(fd)))
  )
)

export const makeProcesses = (): Processes["Service"] => ({
  spawn,
  run,
  find: Effect.fn("Processes.find")((pid: number) =>
    Effect.map(
      attemptSync("find", `process ${pid}`, () => readProcess(pid)),
      Option.fromUndefinedOr
    )
  ),
  list: attempt("list", "processes", listProcesses).pipe(Effect.withSpan("Processes.list")),
  signal,
  awaitEnd
})
