/** Processes of the real host: posix_spawn for children, pidfds and /proc for all. */
import { Deferred, Effect, Fiber, Option, type Scope, Stream } from "effect"
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
import { close, dupAbove, type Fd, onReadable, pidfdSendSignal, pipe, posixSpawn } from "./native.ts"
import { type Inlet, makeInlet, makeOutlet, type Outlet } from "./pipes.ts"
import { listProcesses, openProcess, readProcess } from "./procTable.ts"
import { onExit } from "./reaper.ts"

// A killed child that sleeps in the kernel cannot end yet; its scope does not wait longer for it. It is reaped later.
const reapWait = "5 seconds"
// A grandchild may keep the outputs of a command open after the command's end.
const drainWait = "2 seconds"
const defaultMaxOutput = 1024 * 1024
// Above this number are the sources of a child's descriptors, so that no dup2(2) overwrites one that is still needed.
const firstSource = 64

interface Started {
  readonly pid: number
  readonly exit: Deferred.Deferred<ExitStatus>
  readonly outlets: ReadonlyMap<number, Outlet>
  readonly inlets: ReadonlyMap<number, Inlet>
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
  const outlets = new Map<number, Outlet>()
  const inlets = new Map<number, Inlet>()
  const sources: Array<Fd | null> = []
  const raise = (fd: Fd): Fd => {
    try {
      return dupAbove(fd, firstSource)
    } finally {
      close(fd)
    }
  }
  try {
    for (const [index, kind] of request.fds.entries()) {
      const subject = `descriptor ${index} of ${request.path}`
      if (kind === "null") sources.push(null)
      else {
        const [reader, writer] = pipe()
        if (kind === "input") inlets.set(index, makeInlet(writer, subject))
        else outlets.set(index, makeOutlet(reader, subject))
        sources.push(raise(kind === "input" ? reader : writer))
      }
    }
    const pid = await posixSpawn({
      path: request.path,
      argv: [request.path, ...request.args],
      environment: Object.entries(request.env).map(([name, value]) => `${name}=${value}`),
      cwd: request.cwd,
      fds: sources,
      newSession: request.newSession ?? false
    })
    const exit = Deferred.makeUnsafe<ExitStatus>()
    // Before it is reaped.
    const identity = name(pid)
    onExit(pid, (status) => Deferred.doneUnsafe(exit, Effect.succeed(status)))
    return { pid, identity, exit, outlets, inlets }
  } catch (error) {
    for (const end of [...outlets.values(), ...inlets.values()]) end.release()
    throw error
  } finally {
    for (const source of sources) if (source !== null) close(source)
  }
}

const stop = Effect.fnUntraced(function* (started: Started) {
  for (const end of [...started.outlets.values(), ...started.inlets.values()]) end.release()
  // The pid is ours as long as we have not reaped it.
  if (!Deferred.isDoneUnsafe(started.exit)) process.kill(started.pid, "SIGKILL")
  yield* Deferred.await(started.exit).pipe(Effect.interruptible, Effect.timeoutOption(reapWait))
})

const pipesOf = (request: SpawnRequest, started: Started): Omit<Child, "identity"> => {
  const notOpen = (operation: string, fd: number) =>
    refuse(operation, `descriptor ${fd} of ${request.path}`, "EBADF", "is no pipe of that direction")
  return {
    exit: Deferred.await(started.exit),
    output: (fd) => started.outlets.get(fd)?.stream ?? Stream.fail(notOpen("read", fd)),
    write: (fd, data) => started.inlets.get(fd)?.write(data) ?? Effect.fail(notOpen("write", fd)),
    close: (fd) =>
      Effect.sync(() => {
        started.outlets.get(fd)?.release()
        started.inlets.get(fd)?.release()
      })
  }
}

const startOwned = <Named>(request: SpawnRequest, name: (pid: number) => Named) =>
  Effect.acquireRelease(
    attempt("spawn", request.path, () => start(request, name)),
    stop
  )

const spawn = Effect.fn("Processes.spawn")(function* (
  request: SpawnRequest
): Effect.fn.Return<Child, LinuxError, Scope.Scope> {
  const child = yield* startOwned(request, identify)
  return { ...pipesOf(request, child), identity: child.identity }
})

/** Keeps the first bytes of a stream and drops the rest, so that the writer never blocks. */
const keepFirst = (output: Stream.Stream<Uint8Array, LinuxError>, limit: number) => {
  const kept: Array<Uint8Array> = []
  let room = limit
  const reading = Stream.runForEach(output, (chunk) =>
    Effect.sync(() => {
      if (room === 0) return
      const part = chunk.subarray(0, room)
      kept.push(part)
      room -= part.length
    })
  )
  return { reading, bytes: () => Buffer.concat(kept) }
}

const run = Effect.fn("Processes.run")(function* (
  request: RunRequest
): Effect.fn.Return<RunResult, LinuxError, Scope.Scope> {
  const fds = [request.stdin === undefined ? "null" : "input", "output", "output"] as const
  // Nobody learns who it is: a child that was looked up in /proc is dearer to reap.
  const child = pipesOf({ ...request, fds }, yield* startOwned({ ...request, fds }, () => undefined))
  const limit = request.maxOutput ?? defaultMaxOutput
  const stdout = keepFirst(child.output(1), limit)
  const stderr = keepFirst(child.output(2), limit)
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
  const transfer = yield* Effect.all([feeding, stdout.reading, stderr.reading], {
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
