/** Processes over a world. */
import { Deferred, Effect, Fiber, Layer, Option, Stream } from "effect"
import type { LinuxError } from "../../../src/linux/LinuxError.ts"
import {
  Processes,
  type Child,
  type Collected,
  type ProcessInfo,
  type RunRequest,
  type RunResult,
  type SpawnRequest
} from "../../../src/linux/Processes.ts"
import { linuxError } from "../Calls.ts"
import { Errno } from "../Errno.ts"
import { Pipe, PipeEnd } from "../Pipe.ts"
import { attempt } from "../Program.ts"
import type { MemoryFile, Process } from "../ProcessTable.ts"
import { Pty } from "../Wire.ts"
import { refused, type Seam } from "./Seam.ts"
import { closeTerminal, ownTerminal } from "./sockets.ts"

const mebibyte = 1024 * 1024

const infoOf = (process: Process): ProcessInfo => ({
  ...process.identity,
  parent: process.parent?.pid ?? 0,
  session: process.session,
  state: process.state,
  command: process.command
})

interface Started {
  readonly process: Process
  /** Our ends that are open. */
  readonly ends: Map<number, PipeEnd>
  /** Outputs that somebody reads or has read. */
  readonly taken: Set<number>
  readonly memory: ReadonlyMap<number, MemoryFile>
  readonly terminal: ReturnType<typeof ownTerminal> | undefined
}

export const processesLayer = (seam: Seam): Layer.Layer<Processes> => {
  const { world } = seam

  /** Our ends of pipes stand among the daemon's descriptors, so that its death closes them. */
  const start = (request: SpawnRequest): Started => {
    if (!request.path.startsWith("/")) throw new Errno("EINVAL")
    const daemon = seam.life.process
    const inside = new Map<number, PipeEnd>()
    const ends = new Map<number, PipeEnd>()
    const memory = new Map<number, MemoryFile>()
    const pty = request.fds.includes("terminal") ? new Pty() : undefined
    const slave = pty?.slave() ?? new Map<number, PipeEnd>()
    for (const [fd, kind] of request.fds.entries()) {
      if (kind === "null") continue
      if (typeof kind === "object") {
        memory.set(fd, { data: kind.file })
        continue
      }
      if (kind === "terminal") {
        const end = slave.get(fd)
        if (end === undefined) throw new Errno("EINVAL")
        inside.set(fd, end)
        continue
      }
      const pipe = new Pipe()
      inside.set(fd, new PipeEnd(pipe, kind === "input" ? "read" : "write"))
      ends.set(fd, new PipeEnd(pipe, kind === "input" ? "write" : "read"))
    }
    try {
      const process = world.exec({
        path: request.path,
        args: request.args,
        env: request.env,
        cwd: request.cwd ?? "/",
        fds: inside,
        parent: daemon,
        newSession: pty !== undefined || (request.newSession ?? false),
        memory,
        ...(pty === undefined ? {} : { terminal: pty })
      })
      let next = 10
      for (const end of ends.values()) {
        while (daemon.fds.has(next)) next++
        daemon.fds.set(next, end)
      }
      const terminal = pty === undefined ? undefined : ownTerminal(seam, `terminal of ${request.path}`, pty)
      return { process, ends, taken: new Set(), memory, terminal }
    } catch (error) {
      for (const end of inside.values()) end.close()
      throw error
    }
  }

  const closeEnd = (end: PipeEnd) => {
    end.close()
    for (const [fd, held] of seam.life.process.fds) if (held === end) seam.life.process.fds.delete(fd)
  }

  const reapWhenEnded = (process: Process) => {
    if (process.exit !== undefined) world.processes.reap(process)
    else process.ended.add(() => world.processes.reap(process))
  }

  const release = ({ process, ends, terminal }: Started) =>
    seam.finalizer(() => {
      for (const end of ends.values()) closeEnd(end)
      if (terminal !== undefined) closeTerminal(seam, terminal)
      world.processes.signal(process, 9)
      world.processes.reap(process)
    })

  /** Reads an output to its end into `kept`, of which at most `max` bytes stay. */
  const drain = (end: PipeEnd, max: number, kept: Array<Uint8Array>): Effect.Effect<void> => {
    let size = 0
    const loop: Effect.Effect<void> = Effect.flatMap(end.pipe.read, (chunk) => {
      if (chunk === undefined) return Effect.void
      const part = chunk.subarray(0, max - size)
      size += part.length
      if (part.length > 0) kept.push(part)
      return loop
    })
    return loop
  }

  const collectOf = (path: string, started: Started, fd: number, limit: number): Collected => {
    const kept: Array<Uint8Array> = []
    const end = started.ends.get(fd)
    const subject = `${path} ${fd}`
    const bytes = () => Buffer.concat(kept)
    if (end === undefined || end.side !== "read" || started.taken.has(fd)) {
      return { bytes, ended: Effect.fail(linuxError("read", subject, "EBADF")) }
    }
    started.taken.add(fd)
    const ended = Deferred.makeUnsafe<void>()
    const reading = world.engine.fork(
      world.processes.context(seam.life.process),
      seam.whileAlive(drain(end, limit, kept))
    )
    reading.addObserver(() => Deferred.doneUnsafe(ended, Effect.void))
    return { bytes, ended: seam.effect("Processes", "output", subject, seam.whileAlive(Deferred.await(ended))) }
  }

  const outputOf = (path: string, started: Started, fd: number): Stream.Stream<Uint8Array, LinuxError> =>
    Stream.unwrap(
      seam.sync("Processes", "output", `${path} ${fd}`, () => {
        const end = started.ends.get(fd)
        if (end === undefined || end.side !== "read" || started.taken.has(fd)) throw new Errno("EBADF")
        started.taken.add(fd)
        return Stream.unfold(undefined, () =>
          Effect.map(seam.whileAlive(end.pipe.read), (chunk) =>
            chunk === undefined ? undefined : ([chunk, undefined] as const)
          )
        )
      })
    )

  const child = (request: SpawnRequest, started: Started): Child => ({
    identity: started.process.identity,
    exit: seam.whileAlive(world.processes.awaitEnd(started.process)),
    output: (fd) => outputOf(request.path, started, fd),
    collect: (fd, limit) => collectOf(request.path, started, fd, limit),
    content: (fd) =>
      seam.sync("Processes", "content", `${request.path} ${fd}`, () => {
        const file = started.memory.get(fd)
        if (file === undefined) throw new Errno("EBADF")
        return file.data
      }),
    ...(started.terminal === undefined ? {} : { terminal: started.terminal }),
    write: (fd, data) => {
      const end = started.ends.get(fd)
      const act = end === undefined || end.side !== "write" ? Effect.fail(new Errno("EBADF")) : end.pipe.write(data)
      return seam.effect("Processes", "write", `${request.path} ${fd}`, refused("write", request.path, act))
    },
    close: (fd) =>
      seam.finalizer(() => {
        const end = started.ends.get(fd)
        started.ends.delete(fd)
        if (end !== undefined) closeEnd(end)
      })
  })

  const spawn = (request: SpawnRequest) =>
    Effect.acquireRelease(
      seam.sync("Processes", "spawn", [request.path, ...request.args].join(" "), () => {
        const started = start(request)
        reapWhenEnded(started.process)
        return started
      }),
      release
    ).pipe(Effect.map((started) => child(request, started)))

  const run = Effect.fnUntraced(function* (request: RunRequest) {
    const started = yield* Effect.acquireRelease(
      refused(
        "run",
        request.path,
        attempt(() => start({ ...request, fds: [request.stdin === undefined ? "null" : "input", "output", "output"] }))
      ),
      release
    )
    const end = (fd: number) => started.ends.get(fd) as PipeEnd
    const max = request.maxOutput ?? mebibyte
    const { stdin } = request
    const [stdout, stderr]: [Array<Uint8Array>, Array<Uint8Array>] = [[], []]
    const feed =
      stdin === undefined
        ? Effect.void
        : Effect.ignore(end(0).pipe.write(stdin)).pipe(Effect.andThen(Effect.sync(() => closeEnd(end(0)))))
    const streams = yield* Effect.forkChild(
      Effect.all([drain(end(1), max, stdout), drain(end(2), max, stderr), feed], { concurrency: "unbounded" }),
      { startImmediately: true }
    )
    const status = yield* world.processes.awaitEnd(started.process)
    // A grandchild may hold the outputs for longer than anybody wants to wait.
    yield* Effect.timeoutOption(Fiber.join(streams), "2 seconds")
    return { ...status, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) } satisfies RunResult
  }, Effect.scoped)

  return Layer.succeed(Processes, {
    spawn,
    run: (request) => seam.effect("Processes", "run", [request.path, ...request.args].join(" "), run(request)),
    find: (pid) =>
      seam.sync("Processes", "find", String(pid), () =>
        Option.map(Option.fromUndefinedOr(world.processes.all.get(pid)), infoOf)
      ),
    list: seam.sync("Processes", "list", "", () => [...world.processes.all.values()].map(infoOf)),
    signal: (process, signal) =>
      seam.sync("Processes", "signal", `${process.pid} ${signal}`, () => {
        const found = world.processes.find(process)
        return found !== undefined && world.processes.signal(found, signal)
      }),
    awaitEnd: (process) =>
      seam.effect(
        "Processes",
        "awaitEnd",
        String(process.pid),
        Effect.suspend(() => {
          const found = world.processes.find(process)
          return found === undefined ? Effect.void : Effect.asVoid(world.processes.awaitEnd(found))
        })
      )
  })
}
