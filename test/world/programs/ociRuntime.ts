/** crun and runc: create, start, kill, delete, state, exec, update, features, by the command line of the real ones. */
import { Effect } from "effect"
import { Errno } from "../Errno.ts"
import { FifoNode, SocketNode } from "../Node.ts"
import type { Program, Task } from "../Program.ts"
import { signals, type MemoryFile, type Process } from "../ProcessTable.ts"
import { Pty } from "../Wire.ts"
import type { World } from "../World.ts"
import {
  applyResources,
  cgroupPathsOf,
  killCgroups,
  makeCgroups,
  removeCgroups,
  resourceWrites,
  type Resources
} from "./ociCgroups.ts"
import { parseFlags, type Flags } from "./flags.ts"
import { Refusal, type OciConfig, type OciProcess, type State } from "./ociConfig.ts"
import { containerProgram, prepareRoot, startInit } from "./ociInit.ts"

const globals = new Set(["--root", "--log", "--log-format", "--log-level", "--cgroup-manager", "--rootless"])
const locals = new Set([
  "--bundle",
  "-b",
  "--pid-file",
  "--process",
  "-p",
  "--console-socket",
  "--preserve-fds",
  "--resources",
  "-r",
  "--user",
  "-u",
  "--cwd",
  "--env",
  "-e",
  "--cgroup"
])
type Flavour = "crun" | "runc"

const versions: Readonly<Record<Flavour, string>> = {
  crun: "crun version 1.8.1\ncommit: simulated\nrundir: /run/crun\nspec: 1.0.0\n+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +YAJL\n",
  runc: "runc version 1.1.5\ncommit: simulated\nspec: 1.0.2-dev\ngo: go1.19.8\nlibseccomp: 2.5.4\n"
}

export const ociRuntime =
  (flavour: Flavour): Program =>
  (task) => {
    const global = parseFlags(task.args, globals, true)
    const [command, ...rest] = global.rest
    const flags = parseFlags(rest, locals, command === "exec")
    const runtime = new Runtime(task, flavour, global, flags)
    const commands: Readonly<Record<string, () => Effect.Effect<number, Errno>>> = {
      create: () => runtime.create(),
      start: () => runtime.start(),
      kill: () => runtime.kill(),
      delete: () => runtime.delete(),
      state: () => runtime.state(),
      exec: () => runtime.exec(),
      update: () => runtime.update(),
      features: () => runtime.features()
    }
    if (global.has("--version", "-v")) return Effect.as(task.write(1, versions[flavour]), 0)
    const run = command !== undefined && Object.hasOwn(commands, command) ? commands[command] : undefined
    if (run === undefined) return Effect.as(task.write(2, `unknown command ${command ?? ""}\n`), 1)
    return Effect.suspend(run).pipe(Effect.catch((error: Errno) => runtime.fail(error)))
  }

class Runtime {
  private readonly task: Task
  private readonly world: World
  private readonly flavour: Flavour
  private readonly global: Flags
  private readonly flags: Flags
  private readonly id: string
  constructor(task: Task, flavour: Flavour, global: Flags, flags: Flags) {
    this.task = task
    this.world = task.world
    this.flavour = flavour
    this.global = global
    this.flags = flags
    this.id = flags.rest[0] ?? ""
  }

  private get directory(): string {
    return `${this.global.get("--root") ?? `/run/${this.flavour}`}/${this.id}`
  }

  create() {
    const { task, world } = this
    return Effect.gen({ self: this }, function* () {
      const { vfs } = task
      const bundle = this.flags.get("--bundle", "-b") ?? task.process.cwd
      const config = yield* this.readJson<OciConfig>(`${bundle}/config.json`)
      const root = config.root.path.startsWith("/") ? config.root.path : `${bundle}/${config.root.path}`
      if (this.id === "") return yield* Effect.fail(new Refusal("container id cannot be empty"))
      if (vfs.exists(this.directory)) return yield* Effect.fail(new Refusal(this.exists))
      yield* task.sync(() => vfs.makeDirectories(this.directory, 0o711))
      const cgroups = cgroupPathsOf(world, config.linux?.cgroupsPath, this.global.has("--systemd-cgroup"), this.id)
      const started: { init?: Process } = {}
      yield* Effect.gen({ self: this }, function* () {
        yield* task.point("state directory")
        yield* task.sync(() => makeCgroups(world, cgroups))
        yield* task.point("cgroup")
        yield* prepareRoot(task, config, root)
        const fifo = yield* task.sync(() => vfs.makeFifo(`${this.directory}/exec.fifo`, 0o622))
        const init = yield* task.sync(() => startInit(task, config, root, fifo))
        started.init = init
        yield* task.sync(() => {
          for (const path of cgroups) vfs.writeExisting(`${path}/cgroup.procs`, String(init.pid))
          applyResources(world, cgroups, config.linux?.resources)
        })
        yield* task.point("init")
        const state: State = {
          id: this.id,
          pid: init.pid,
          startTime: init.startTime,
          bundle,
          rootfs: root,
          created: new Date(world.engine.nowMs).toISOString(),
          cgroups,
          annotations: config.annotations ?? {}
        }
        yield* task.sync(() => vfs.write(`${this.directory}/state.json`, JSON.stringify(state)))
        yield* task.point("state file")
        const pidFile = this.flags.get("--pid-file")
        if (pidFile !== undefined) yield* task.sync(() => vfs.write(pidFile, String(init.pid)))
      }).pipe(
        // A runtime that fails (and is not killed) takes back what it made.
        Effect.tapError(() =>
          task.sync(() => {
            if (started.init !== undefined) world.processes.signal(started.init, 9)
            removeCgroups(world, cgroups)
            this.removeDirectory()
          })
        )
      )
      return 0
    })
  }

  start() {
    return Effect.gen({ self: this }, function* () {
      const { state, init } = yield* this.load
      if (init === undefined) return yield* Effect.fail(new Refusal("cannot start a container that has stopped"))
      const path = `${this.directory}/exec.fifo`
      if (!this.world.vfs.exists(path))
        return yield* Effect.fail(new Refusal(`cannot start an already running container`))
      const { pipe } = this.world.vfs.paths.find(path, { follow: false }).node as FifoNode
      yield* this.task.point("start")
      // An init that has ended since: runc looks for it again and again, crun waits for a reader for ever.
      if (pipe === undefined || (this.flavour === "runc" && pipe.readers === 0)) {
        return yield* Effect.fail(new Refusal("container process is already dead"))
      }
      yield* pipe.attended
      yield* this.task.sync(() => {
        pipe.push(Buffer.from("0"))
        if (this.world.vfs.exists(path)) this.world.vfs.removeFile(path)
      })
      void state
      return 0
    })
  }

  kill() {
    return Effect.gen({ self: this }, function* () {
      const { init } = yield* this.load
      const name = (this.flags.rest[1] ?? "TERM").replace(/^SIG/, "")
      const signal = /^[0-9]+$/.test(name) ? Number(name) : signals[name]
      if (signal === undefined) return yield* Effect.fail(new Refusal(`unknown signal ${name}`))
      if (init === undefined) {
        return yield* Effect.fail(
          new Refusal(this.flavour === "runc" ? "container not running" : "kill container: No such process")
        )
      }
      yield* this.task.point("kill")
      this.world.processes.signal(init, signal)
      return 0
    })
  }

  delete() {
    const { task, world } = this
    return Effect.gen({ self: this }, function* () {
      const force = this.flags.has("--force", "-f")
      if (!world.vfs.exists(`${this.directory}/state.json`)) {
        // What a killed create left behind goes, with both runtimes; only crun calls that a success.
        const halfMade = world.vfs.exists(this.directory)
        yield* task.sync(() => this.removeDirectory())
        if (force || (halfMade && this.flavour === "crun")) return 0
        const text =
          this.flavour === "crun"
            ? `cannot open directory '${this.directory}': No such file or directory`
            : "container does not exist"
        return yield* Effect.fail(new Refusal(text))
      }
      const { state, init } = yield* this.load
      if (init !== undefined) {
        const created = world.vfs.exists(`${this.directory}/exec.fifo`)
        if (!force && !created) {
          return yield* Effect.fail(new Refusal(`cannot delete container ${this.id} that is not stopped: running`))
        }
        if (!force)
          return yield* Effect.fail(new Refusal(`cannot delete container ${this.id} that is not stopped: created`))
        world.processes.signal(init, 9)
        yield* Effect.sleep(5)
      }
      yield* task.point("cgroup")
      yield* task.sync(() => {
        killCgroups(world, state.cgroups)
        removeCgroups(world, state.cgroups)
      })
      yield* task.point("state directory")
      yield* task.sync(() => this.removeDirectory())
      return 0
    })
  }

  state() {
    return Effect.gen({ self: this }, function* () {
      const { state, init } = yield* this.load
      const created = this.world.vfs.exists(`${this.directory}/exec.fifo`)
      const status = init === undefined ? "stopped" : created ? "created" : "running"
      const { id, bundle, annotations, rootfs } = state
      const answer = {
        ociVersion: "1.0.2",
        id,
        status,
        pid: init?.pid ?? 0,
        bundle,
        rootfs,
        created: state.created,
        annotations
      }
      yield* this.task.write(1, `${JSON.stringify(answer, null, 2)}\n`)
      return 0
    })
  }

  exec() {
    const { task, world } = this
    return Effect.gen({ self: this }, function* () {
      const { state, init } = yield* this.load
      if (init === undefined || world.vfs.exists(`${this.directory}/exec.fifo`)) {
        return yield* Effect.fail(
          new Refusal(`cannot exec in a ${init === undefined ? "stopped" : "created"} container`)
        )
      }
      const file = this.flags.get("--process", "-p")
      const spec: OciProcess =
        file === undefined ? { args: this.flags.rest.slice(1), cwd: "/" } : yield* this.readJson<OciProcess>(file)
      const socket = this.flags.get("--console-socket")
      if (socket !== undefined && this.flavour === "runc" && !this.flags.has("--detach", "-d")) {
        const text = "cannot use console socket if runc will not detach or allocate tty"
        return yield* Effect.fail(new Refusal(text))
      }
      yield* task.point("exec")
      const body = yield* containerProgram(task, spec, state.rootfs)
      const own = socket === undefined ? undefined : yield* this.sendTerminal(socket)
      const slave = own?.slave()
      const child = task.fork(body, slave === undefined ? {} : { fds: slave })
      for (const end of slave?.values() ?? []) end.close()
      child.args = spec.args
      // Without a socket it copies between the terminal that it has and the command's; here they are one.
      child.terminal = spec.terminal === true ? (own ?? task.process.terminal) : undefined
      const size = spec.consoleSize
      if (child.terminal !== undefined && size !== undefined) child.terminal.size = `${size.height} ${size.width}`
      for (const [kind, node] of init.namespaces) child.namespaces.set(kind, node)
      for (const cgroup of init.cgroups.values()) cgroup.move(child)
      const pidFile = this.flags.get("--pid-file")
      if (pidFile !== undefined) yield* task.sync(() => world.vfs.write(pidFile, String(child.pid)))
      if (this.flags.has("--detach", "-d")) return 0
      // The command holds the pipes now; the runtime only waits.
      for (const fd of [0, 1, 2]) task.close(fd)
      const status = yield* task.wait(child)
      return status.code ?? 128 + (status.signal ?? 0)
    })
  }

  update() {
    return Effect.gen({ self: this }, function* () {
      const { state } = yield* this.load
      const file = this.flags.get("--resources", "-r") ?? "-"
      const resources =
        file === "-" || file === "/dev/stdin"
          ? (JSON.parse(Buffer.from(yield* this.task.readAll(0)).toString()) as Resources)
          : yield* this.readJson<Resources>(file)
      yield* this.task.point("update")
      for (const { path, value } of resourceWrites(this.world, state.cgroups, resources)) {
        yield* this.task.sync(() => this.world.vfs.writeExisting(path, value))
        yield* this.task.point(`update of ${path.slice(path.lastIndexOf("/") + 1)}`)
      }
      return 0
    })
  }

  features() {
    if (this.flavour === "crun") return Effect.as(this.task.write(2, "unknown command features\n"), 1)
    const answer = {
      ociVersionMin: "1.0.0",
      ociVersionMax: "1.0.2-dev",
      mountOptions: ["ro", "rw", "rbind", "bind", "rprivate", "rslave", "rshared", "nosuid", "nodev", "noexec"],
      linux: { namespaces: ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"], cgroup: { v1: true, v2: true } }
    }
    return Effect.as(this.task.write(1, `${JSON.stringify(answer)}\n`), 0)
  }

  fail(error: Errno) {
    const text = error instanceof Refusal ? error.text : error.message
    return Effect.gen({ self: this }, function* () {
      const log = this.global.get("--log")
      const time = new Date(this.world.engine.nowMs).toISOString()
      if (log !== undefined) {
        const line = { msg: text, level: "error", time }
        yield* Effect.ignore(this.task.sync(() => this.appendTo(log, `${JSON.stringify(line)}\n`)))
      }
      yield* Effect.ignore(
        this.task.write(
          2,
          this.flavour === "crun" ? `${time}: ${text}\n` : `time="${time}" level=error msg=${JSON.stringify(text)}\n`
        )
      )
      return 1
    })
  }

  private get exists(): string {
    return this.flavour === "crun" ? `container \`${this.id}\` already exists` : "container with id exists: " + this.id
  }
  private get unknown(): string {
    return this.flavour === "crun"
      ? `error opening file \`${this.directory}/status\`: No such file or directory`
      : "container does not exist"
  }

  private get load(): Effect.Effect<{ readonly state: State; readonly init: Process | undefined }, Errno> {
    return Effect.gen({ self: this }, function* () {
      const path = `${this.directory}/state.json`
      if (!this.world.vfs.exists(path)) return yield* Effect.fail(new Refusal(this.unknown))
      const state = yield* this.readJson<State>(path)
      const init = this.world.processes.find({ pid: state.pid, startTime: state.startTime })
      return { state, init: init?.exit === undefined ? init : undefined }
    })
  }

  /** /proc/self is the runtime's own here; the file system knows the daemon's only. */
  private ownFile(path: string): MemoryFile | undefined {
    const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1]
    return fd === undefined ? undefined : this.task.process.memory.get(Number(fd))
  }

  private appendTo(path: string, text: string): void {
    const file = this.ownFile(path)
    if (file === undefined) this.world.vfs.append(path, text)
    else file.data = Buffer.concat([file.data, Buffer.from(text)])
  }

  private sendTerminal(socket: string): Effect.Effect<Pty, Errno> {
    return this.task.sync(() => {
      const { node } = this.world.vfs.paths.find(socket, { follow: true })
      if (!(node instanceof SocketNode) || node.receive === undefined) throw new Errno("ECONNREFUSED")
      const terminal = new Pty()
      node.receive(terminal)
      return terminal
    })
  }

  private readJson<A>(path: string): Effect.Effect<A, Errno> {
    return Effect.flatMap(
      this.task.sync(() => {
        const file = this.ownFile(path)
        return file === undefined ? this.world.vfs.readText(path) : Buffer.from(file.data).toString()
      }),
      (text) => {
        try {
          return Effect.succeed(JSON.parse(text) as A)
        } catch {
          return Effect.fail(new Refusal(`cannot parse ${path}`))
        }
      }
    )
  }

  private removeDirectory(): void {
    const { vfs } = this.world
    if (!vfs.exists(this.directory)) return
    const entries = [...vfs.treeUpwards(this.directory)]
    for (const entry of entries) {
      if (entry.directory) vfs.removeDirectory(entry.path)
      else vfs.removeFile(entry.path)
    }
  }
}
