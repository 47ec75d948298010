/** Processes of the simulated kernel: parents, sessions, signals, exits, reaping. */
import { Effect, type Context } from "effect"
import type { ExitStatus, ProcessIdentity } from "../../src/linux/Processes.ts"
import type { Cgroup } from "./Cgroups.ts"
import type { NamespaceKind } from "./NamespaceTable.ts"
import type { NamespaceNode } from "./Node.ts"
import type { PipeEnd } from "./Pipe.ts"
import type { Pty } from "./Wire.ts"
import { Owner, type Engine } from "./Engine.ts"

export const signals: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  KILL: 9,
  USR1: 10,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  WINCH: 28
}
const ignoredByDefault = new Set([17, 18, 23, 28])

/** How long the first process of a PID namespace waits for the end of the others, microseconds. */
const namespaceEndsAfterUs = 20_000

/** How long pid 1 takes to reap an orphan, microseconds: zombies are seen in between. */
const initReapsAfterUs = 200_000

export interface ProcessOptions {
  readonly path: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly fds: ReadonlyMap<number, PipeEnd>
  readonly parent: Process | undefined
  readonly newSession: boolean
  /** Its own controlling terminal; default the parent's. */
  readonly terminal?: Pty
  /** Files in memory by descriptor. */
  readonly memory?: ReadonlyMap<number, MemoryFile>
}

/** A file that only its descriptors name (memfd_create). */
export interface MemoryFile {
  data: Uint8Array
}

export class Process {
  readonly pid: number
  /** Clock ticks since boot. */
  readonly startTime: number
  readonly owner: Owner
  readonly path: string
  args: ReadonlyArray<string>
  env: Readonly<Record<string, string>>
  cwd: string
  parent: Process | undefined
  session: number
  state = "S"
  subreaper = false
  oomScoreAdj = 0
  exit: ExitStatus | undefined
  readonly fds: Map<number, PipeEnd>
  readonly memory: ReadonlyMap<number, MemoryFile>
  terminal: Pty | undefined
  readonly namespaces = new Map<NamespaceKind, NamespaceNode>()
  readonly cgroups = new Map<string, Cgroup>()
  readonly children = new Set<Process>()
  readonly handlers = new Map<number, "ignore" | (() => void)>()
  /** True for the first process of a PID namespace: signals without a handler do nothing to it, but for SIGKILL. */
  namespaceInit = false
  readonly ended = new Set<() => void>()
  /** A signal that ends it when it is thawed. */
  killed = false

  constructor(pid: number, startTime: number, options: ProcessOptions) {
    this.pid = pid
    this.startTime = startTime
    this.owner = new Owner(`${options.path}[${pid}]`)
    this.path = options.path
    this.args = options.args
    this.env = options.env
    this.cwd = options.cwd
    this.fds = new Map(options.fds)
    this.memory = options.memory ?? new Map()
    this.terminal = options.terminal ?? options.parent?.terminal
    this.parent = options.parent
    this.session = options.newSession ? pid : (options.parent?.session ?? pid)
    options.parent?.children.add(this)
    if (options.parent !== undefined) {
      for (const [kind, node] of options.parent.namespaces) this.namespaces.set(kind, node)
      for (const [hierarchy, cgroup] of options.parent.cgroups) {
        this.cgroups.set(hierarchy, cgroup)
        cgroup.processes.add(this)
      }
      this.oomScoreAdj = options.parent.oomScoreAdj
    }
  }
  get identity(): ProcessIdentity {
    return { pid: this.pid, startTime: this.startTime }
  }
  /** By the freezer of v1, in which nothing ends before it is thawed; that of v2 lets SIGKILL through. */
  get frozen(): boolean {
    return this.cgroups.get("freezer")?.frozen === true
  }
  get command(): string {
    return (this.path.split("/").pop() ?? "").slice(0, 15)
  }
}

export class ProcessTable {
  readonly all = new Map<number, Process>()
  readonly init: Process
  private readonly engine: Engine
  private readonly bootUs: number
  private readonly seed: () => number
  private nextPid = 300
  private readonly pidMax: number
  /** Called after a process has ended and left its namespaces. */
  private readonly onEnd: (process: Process) => void

  constructor(engine: Engine, options: { seed: () => number; pidMax: number; onEnd: (process: Process) => void }) {
    this.engine = engine
    this.bootUs = engine.nowUs
    this.seed = options.seed
    this.pidMax = options.pidMax
    this.onEnd = options.onEnd
    this.init = new Process(1, 0, {
      path: "/sbin/init",
      args: [],
      env: {},
      cwd: "/",
      fds: new Map(),
      parent: undefined,
      newSession: true
    })
    this.all.set(1, this.init)
  }

  create(options: ProcessOptions): Process {
    do {
      this.nextPid = this.nextPid + 1 > this.pidMax ? 300 : this.nextPid + 1
    } while (this.all.has(this.nextPid))
    const process = new Process(this.nextPid, Math.floor((this.engine.nowUs - this.bootUs) / 10_000), options)
    this.all.set(process.pid, process)
    return process
  }

  /** Fibers of a process get clock, scheduler and random numbers of its own. */
  context(process: Process): Context.Context<never> {
    return this.engine.context(process.owner, this.seed())
  }

  /** Starts a process's program as a task of its own: whoever made the process first finishes what it does to it. */
  run(process: Process, program: Effect.Effect<ExitStatus>): void {
    this.engine.schedule(process.owner, () => {
      const fiber = this.engine.fork(this.context(process), program)
      fiber.addObserver((exit) => {
        this.end(process, exit._tag === "Success" ? exit.value : { code: null, signal: 11 })
      })
    })
  }

  find(identity: ProcessIdentity): Process | undefined {
    const process = this.all.get(identity.pid)
    return process !== undefined && process.startTime === identity.startTime ? process : undefined
  }

  /** False when the process has ended. */
  signal(process: Process, signal: number): boolean {
    if (process.exit !== undefined) return false
    if (process.owner.dead) return true
    if (signal === 0 || process === this.init) return true
    if (signal === signals.KILL) {
      if (process.frozen) process.killed = true
      else this.end(process, { code: null, signal })
      return true
    }
    const handler = process.handlers.get(signal)
    if (handler === "ignore" || (handler === undefined && (process.namespaceInit || ignoredByDefault.has(signal))))
      return true
    if (handler === undefined) this.end(process, { code: null, signal })
    else this.engine.schedule(process.owner, handler)
    return true
  }

  /** It stops and leaves its cgroups. The first process of a PID namespace has ended when all others of it have. */
  end(process: Process, status: ExitStatus): void {
    if (process.owner.dead) return
    process.owner.dead = true
    for (const end of process.fds.values()) end.close()
    process.fds.clear()
    for (const cgroup of process.cgroups.values()) cgroup.processes.delete(process)
    if (!process.namespaceInit) return this.finish(process, status)
    for (const other of this.othersInNamespace(process)) this.signal(other, 9)
    this.finishLast(process, status)
  }

  private othersInNamespace(process: Process): ReadonlyArray<Process> {
    const pidNamespace = process.namespaces.get("pid")
    return [...this.all.values()].filter(
      (other) => other !== process && other.exit === undefined && other.namespaces.get("pid") === pidNamespace
    )
  }

  private finishLast(process: Process, status: ExitStatus): void {
    this.engine.at(this.init.owner, this.engine.nowUs + namespaceEndsAfterUs, () => {
      if (this.othersInNamespace(process).length > 0) this.finishLast(process, status)
      else this.finish(process, status)
    })
  }

  private finish(process: Process, status: ExitStatus): void {
    process.exit = status
    process.state = "Z"
    const reaper = this.reaperOf(process)
    for (const child of process.children) {
      process.children.delete(child)
      child.parent = reaper
      reaper.children.add(child)
      if (child.exit !== undefined && reaper === this.init) this.reapLater(child)
    }
    process.namespaces.clear()
    this.onEnd(process)
    if (process.parent === this.init) this.reapLater(process)
    const waiting = [...process.ended]
    process.ended.clear()
    for (const wake of waiting) wake()
  }

  awaitEnd(process: Process): Effect.Effect<ExitStatus> {
    return Effect.callback<ExitStatus>((resume) => {
      if (process.exit !== undefined) {
        resume(Effect.succeed(process.exit))
        return undefined
      }
      const wake = () => resume(Effect.succeed(process.exit as ExitStatus))
      process.ended.add(wake)
      return Effect.sync(() => process.ended.delete(wake))
    })
  }

  reap(process: Process): void {
    if (process.exit === undefined) return
    process.parent?.children.delete(process)
    if (this.all.get(process.pid) === process) this.all.delete(process.pid)
  }

  private reapLater(process: Process): void {
    this.engine.at(this.init.owner, this.engine.nowUs + initReapsAfterUs, () => this.reap(process))
  }

  private reaperOf(process: Process): Process {
    for (let at = process.parent; at !== undefined; at = at.parent) {
      if (at.subreaper && at.exit === undefined) return at
    }
    return this.init
  }
}
