/** conmon: the monitor of one container, with the command line and the files of the real one (facts of 2.1). */
import { Effect } from "effect"
import { Errno } from "../Errno.ts"
import { SocketNode } from "../Node.ts"
import { Pipe, PipeEnd } from "../Pipe.ts"
import type { Program, Task } from "../Program.ts"
import type { Process } from "../ProcessTable.ts"
import { closeSide, Listener, type Side } from "../Wire.ts"
import { parseFlags, type Flags } from "./flags.ts"

const withValue = new Set([
  "-b",
  "--bundle",
  "-c",
  "--cid",
  "-P",
  "--conmon-pidfile",
  "-p",
  "--container-pidfile",
  "-u",
  "--cuuid",
  "--exec-process-spec",
  "--exit-command",
  "--exit-command-arg",
  "--exit-delay",
  "--exit-dir",
  "--log-level",
  "-l",
  "--log-path",
  "--log-size-max",
  "--log-global-size-max",
  "--log-tag",
  "-n",
  "--name",
  "-0",
  "--persist-dir",
  "--restore",
  "-r",
  "--runtime",
  "--runtime-arg",
  "--runtime-opt",
  "--sdnotify-socket",
  "--socket-dir-path",
  "-T",
  "--timeout",
  "--seccomp-notify-socket",
  "--seccomp-notify-plugins",
  "--api-version"
])

const timestamp = (task: Task): string => {
  const us = task.world.engine.nowUs
  const seconds = new Date(Math.floor(us / 1000)).toISOString().slice(0, 19)
  return `${seconds}.${String((us % 1_000_000) * 1000).padStart(9, "0")}+00:00`
}

/** Lines of a stream in the CRI's log format; what has no newline at its end is partial. */
const logLines = (stamp: string, stream: string, chunk: string): string =>
  chunk
    .split(/(?<=\n)/)
    .filter((line) => line !== "")
    .map((line) => (line.endsWith("\n") ? `${stamp} ${stream} F ${line}` : `${stamp} ${stream} P ${line}\n`))
    .join("")

/** As g_file_set_contents: readers see the old file or the new one. */
const writeByRename = (task: Task, path: string, text: string): void => {
  const temporary = `${path}.${task.process.pid}TMP`
  task.vfs.write(temporary, text)
  task.vfs.rename(temporary, path)
}

export const conmon: Program = (task) =>
  Effect.gen(function* () {
    const flags = parseFlags(task.args, withValue)
    if (flags.has("--version")) {
      yield* task.write(1, "conmon version 2.1.6\ncommit: unknown\n")
      return 0
    }
    const cid = flags.get("-c", "--cid")
    const runtime = flags.get("-r", "--runtime")
    if (cid === undefined || runtime === undefined || flags.get("-l", "--log-path") === undefined) {
      yield* task.write(2, "conmon: Container ID, runtime and log path must be provided\n")
      return 1
    }
    yield* task.point("start")
    const startFd = Number(task.env["_OCI_STARTPIPE"] ?? "-1")
    if (startFd >= 0) {
      // A byte or the end of the pipe lets it go.
      yield* task.read(startFd)
      task.close(startFd)
    }
    if (flags.has("--sync")) return yield* monitor(task, flags, cid, runtime)
    const child = task.fork((inner) => monitor(inner, flags, cid, runtime), { newSession: true })
    const pidFile = flags.get("-P", "--conmon-pidfile")
    if (pidFile !== undefined) yield* task.sync(() => writeByRename(task, pidFile, String(child.pid)))
    return 0
  })

const monitor = (task: Task, flags: Flags, cid: string, runtime: string) =>
  Effect.gen(function* () {
    const { vfs, process } = task
    process.subreaper = true
    const bundle = flags.get("-b", "--bundle") ?? process.cwd
    const logPath = flags.get("-l", "--log-path") as string
    const syncFd = Number(task.env["_OCI_SYNCPIPE"] ?? "-1")
    const sync = (message: object) => Effect.ignore(task.write(syncFd, `${JSON.stringify(message)}\n`))
    yield* task.point("setup")
    const attach = new Listener()
    process.ended.add(() => attach.close())
    yield* task.sync(() => {
      vfs.place(`${bundle}/attach`, (directory) => {
        const socket = new SocketNode(directory.home(), 0o700)
        socket.listener = attach
        return socket
      })
      const control = vfs.makeFifo(`${bundle}/ctl`, 0o660)
      vfs.makeFifo(`${bundle}/winsz`, 0o660)
      control.pipe = new Pipe()
      process.fds.set(50, new PipeEnd(control.pipe, "read"))
      process.fds.set(51, new PipeEnd(control.pipe, "write"))
      vfs.append(logPath, "")
    })
    let log = yield* task.sync(() => vfs.open(logPath, "append"))
    const [stdin, stdout, stderr] = [new Pipe(), new Pipe(), new Pipe()]
    const writers = [new PipeEnd(stdout, "write"), new PipeEnd(stderr, "write")] as const
    const reader = flags.has("-i", "--stdin") ? new PipeEnd(stdin, "read") : undefined
    if (reader !== undefined) process.fds.set(stdinFd, new PipeEnd(stdin, "write"))
    process.fds.set(52, new PipeEnd(stdout, "read"))
    process.fds.set(53, new PipeEnd(stderr, "read"))
    const containerPidFile = flags.get("-p", "--container-pidfile") ?? `${bundle}/pidfile-${cid}`
    const args = [
      ...(flags.has("-s", "--systemd-cgroup") ? ["--systemd-cgroup"] : []),
      ...flags.all("--runtime-arg"),
      "create",
      "--bundle",
      bundle,
      "--pid-file",
      containerPidFile,
      ...(flags.has("--no-pivot") ? ["--no-pivot"] : []),
      ...flags.all("--runtime-opt"),
      cid
    ]
    yield* task.point("create")
    const created = yield* Effect.exit(
      task.sync(() =>
        task.spawn(runtime, args, {
          fds: new Map([...(reader === undefined ? [] : [[0, reader] as const]), [1, writers[0]], [2, writers[1]]])
        })
      )
    )
    for (const end of writers) end.close()
    reader?.close()
    if (created._tag === "Failure") {
      yield* sync({ pid: -1, message: `Failed to create container: exec ${runtime}` })
      return 1
    }
    const status = yield* task.wait(created.value)
    if (status.code !== 0) {
      const message = stderr.drain().slice(0, 8191)
      yield* sync({ pid: -1, message })
      return 1
    }
    yield* task.point("report")
    const pid = yield* task.sync(() => Number(vfs.readText(containerPidFile)))
    const container = task.world.processes.all.get(pid)
    if (container === undefined) {
      yield* sync({ pid: -1, message: `container process ${pid} not found` })
      return 1
    }
    yield* sync({ pid })
    task.close(syncFd)
    const clients = new Set<Side>()
    const write = (stream: string) => (chunk: Uint8Array) => {
      log.write(Buffer.from(logLines(timestamp(task), stream, Buffer.from(chunk).toString())))
      const packet = Buffer.concat([Buffer.of(stream === "stdout" ? 2 : 3), chunk])
      for (const { outgoing } of clients) if (outgoing.pipe.readers > 0) outgoing.pipe.push(packet)
    }
    const reopen = () => {
      const fresh = vfs.open(`${logPath}.tmp`, "truncate")
      vfs.rename(`${logPath}.tmp`, logPath)
      log = vfs.open(logPath, "append")
      void fresh
    }
    yield* Effect.forkChild(control(task, reopen))
    yield* Effect.forkChild(serve(task, attach, clients, flags.has("--leave-stdin-open")))
    yield* Effect.all(
      [pump(stdout, write("stdout")), pump(stderr, write("stderr")), task.world.processes.awaitEnd(container)],
      {
        concurrency: "unbounded"
      }
    )
    return yield* conclude(task, flags, cid, bundle, container)
  }).pipe(Effect.catch((error: Errno) => Effect.as(Effect.ignore(task.write(2, `conmon: ${error.message}\n`)), 1)))

const pump = (pipe: Pipe, write: (chunk: Uint8Array) => void): Effect.Effect<void> =>
  Effect.flatMap(pipe.read, (chunk) => {
    if (chunk === undefined) return Effect.void
    write(chunk)
    return pump(pipe, write)
  })

/** Where the other end of the container's standard input is. */
const stdinFd = 54

/** Clients of the attach socket, for ever; what they send goes to the container. */
const serve = (task: Task, attach: Listener, clients: Set<Side>, leaveOpen: boolean): Effect.Effect<never> =>
  Effect.gen(function* () {
    const { fds } = task.process
    for (let fd = 60; ; fd += 2) {
      const side = yield* attach.accept
      clients.add(side)
      fds.set(fd, side.incoming)
      fds.set(fd + 1, side.outgoing)
      const gone = Effect.sync(() => {
        clients.delete(side)
        closeSide(side)
        fds.delete(fd)
        fds.delete(fd + 1)
      })
      yield* Effect.forkChild(Effect.andThen(feed(task, side, leaveOpen), gone))
    }
  })

const feed = (task: Task, side: Side, leaveOpen: boolean): Effect.Effect<void> =>
  Effect.flatMap(side.incoming.pipe.read, (chunk) => {
    if (chunk !== undefined) {
      return Effect.andThen(Effect.ignore(task.write(stdinFd, chunk)), feed(task, side, leaveOpen))
    }
    if (!leaveOpen) task.close(stdinFd)
    // A client that only has no more to say goes on to listen.
    return side.outgoing.pipe.abandoned
  })

const control = (task: Task, reopen: () => void): Effect.Effect<void, Errno> =>
  Effect.flatMap(task.read(50), (chunk) => {
    if (chunk === undefined) return Effect.void
    for (const line of Buffer.from(chunk).toString().split("\n")) if (line.startsWith("2 ")) reopen()
    return control(task, reopen)
  })

const conclude = (task: Task, flags: Flags, cid: string, bundle: string, container: Process) =>
  Effect.gen(function* () {
    const { vfs } = task
    const status = yield* task.wait(container)
    const code = status.code ?? 128 + (status.signal ?? 0)
    yield* task.point("exited")
    const persist = flags.get("-0", "--persist-dir")
    const exits = flags.get("--exit-dir")
    yield* task.sync(() => {
      if (task.world.oomKilled.has(container)) {
        for (const directory of [persist, bundle]) if (directory !== undefined) vfs.write(`${directory}/oom`, "")
      }
      if (persist !== undefined && vfs.exists(persist)) writeByRename(task, `${persist}/exit`, String(code))
    })
    yield* task.point("exit file")
    yield* task.sync(() => {
      if (exits !== undefined) writeByRename(task, `${exits}/${cid}`, String(code))
    })
    return code
  })
