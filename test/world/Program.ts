/** Programs of the simulated host: TypeScript functions that run as processes. */
import { Effect } from "effect"
import type { ExitStatus } from "../../src/linux/Processes.ts"
import { Errno } from "./Errno.ts"
import { Pipe, PipeEnd } from "./Pipe.ts"
import type { Process } from "./ProcessTable.ts"
import type { World } from "./World.ts"

/** Ends with the exit code. An Errno that nobody caught is printed and exits 1. */
export type Program = (task: Task) => Effect.Effect<number, Errno>

/** The planned failure of a program: each program reports it in its own manner. */
export class ProgramFailure extends Errno {
  constructor(point: string) {
    super("EIO", `simulated failure at ${point}`)
  }
}

export interface ForkOptions {
  readonly newSession?: boolean
  /** Which descriptors the child has; default all of the parent's. */
  readonly fds?: ReadonlyMap<number, PipeEnd>
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** What a program sees of itself: arguments, environment, descriptors, children. */
export class Task {
  readonly world: World
  readonly process: Process
  constructor(world: World, process: Process) {
    this.world = world
    this.process = process
  }

  get args(): ReadonlyArray<string> {
    return this.process.args
  }
  get env(): Readonly<Record<string, string>> {
    return this.process.env
  }
  get vfs() {
    return this.world.vfs
  }

  /** A step of the program: takes a millisecond, and here a planned fault can strike. */
  point(name: string): Effect.Effect<void, Errno> {
    return Effect.suspend(() => {
      const fault = this.world.calls.programPoint(
        `${this.process.command}.${name}`,
        this.process.args.join(" ").slice(0, 80)
      )
      if (this.process.exit !== undefined) return Effect.never
      if (fault?.kind === "kill") {
        this.world.processes.signal(this.process, 9)
        return Effect.never
      }
      if (fault?.kind === "exit") return Effect.fail(new ProgramFailure(name))
      return Effect.sleep(1)
    })
  }

  /** Runs something synchronous that may be refused. */
  sync<A>(act: () => A): Effect.Effect<A, Errno> {
    return attempt(act)
  }

  write(fd: number, text: string | Uint8Array): Effect.Effect<void, Errno> {
    const end = this.process.fds.get(fd)
    if (end === undefined) return Effect.void
    return end.pipe.write(typeof text === "string" ? Buffer.from(text) : text)
  }

  readAll(fd: number): Effect.Effect<Uint8Array> {
    return this.process.fds.get(fd)?.pipe.readAll ?? Effect.succeed(new Uint8Array(0))
  }

  read(fd: number): Effect.Effect<Uint8Array | undefined> {
    return this.process.fds.get(fd)?.pipe.read ?? Effect.succeed(undefined)
  }

  close(fd: number): void {
    this.process.fds.get(fd)?.close()
    this.process.fds.delete(fd)
  }

  /** A copy of this process that runs `body`. */
  fork(body: Program, options: ForkOptions = {}): Process {
    const { process } = this
    const child = this.world.processes.create({
      path: process.path,
      args: process.args,
      env: options.env ?? process.env,
      cwd: options.cwd ?? process.cwd,
      fds: duplicates(options.fds ?? process.fds),
      parent: process,
      newSession: options.newSession ?? false
    })
    this.world.runProgram(child, body)
    return child
  }

  /** fork and exec. */
  spawn(path: string, args: ReadonlyArray<string>, options: ForkOptions = {}): Process {
    return this.world.exec({
      path,
      args,
      env: options.env ?? this.process.env,
      cwd: options.cwd ?? this.process.cwd,
      fds: duplicates(options.fds ?? this.process.fds),
      parent: this.process,
      newSession: options.newSession ?? false
    })
  }

  /** Waits for a child and reaps it. */
  wait(child: Process): Effect.Effect<ExitStatus> {
    return Effect.map(this.world.processes.awaitEnd(child), (status) => {
      this.world.processes.reap(child)
      return status
    })
  }

  /** Starts a program, feeds it, collects what it says. */
  run(
    path: string,
    args: ReadonlyArray<string>,
    options: { stdin?: string; env?: Readonly<Record<string, string>> } = {}
  ) {
    return Effect.gen({ self: this }, function* () {
      const [stdin, stdout, stderr] = [new Pipe(), new Pipe(), new Pipe()]
      const inside = [new PipeEnd(stdin, "read"), new PipeEnd(stdout, "write"), new PipeEnd(stderr, "write")] as const
      const feed = new PipeEnd(stdin, "write")
      const collect = [new PipeEnd(stdout, "read"), new PipeEnd(stderr, "read")]
      const child = yield* this.sync(() =>
        this.spawn(path, args, {
          fds: new Map(inside.entries()),
          ...(options.env === undefined ? {} : { env: options.env })
        })
      )
      for (const end of inside) end.close()
      if (options.stdin !== undefined) stdin.push(Buffer.from(options.stdin))
      feed.close()
      const out = yield* stdout.readAll
      const err = yield* stderr.readAll
      const status = yield* this.wait(child)
      for (const end of collect) end.close()
      return { ...status, stdout: Buffer.from(out).toString(), stderr: Buffer.from(err).toString() }
    })
  }
}

const duplicates = (fds: ReadonlyMap<number, PipeEnd>): ReadonlyMap<number, PipeEnd> =>
  new Map([...fds].map(([fd, end]) => [fd, end.duplicate()]))

export const attempt = <A>(act: () => A): Effect.Effect<A, Errno> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(act())
    } catch (error) {
      if (error instanceof Errno) return Effect.fail(error)
      throw error
    }
  })

/** The exit status of a program, whatever became of it. */
export const exitStatus = (task: Task, program: Program): Effect.Effect<ExitStatus> =>
  program(task).pipe(
    Effect.catch((error: Errno) =>
      Effect.as(Effect.ignore(task.write(2, `${task.process.command}: ${error.message}\n`)), 1)
    ),
    Effect.map((code) => ({ code, signal: null }))
  )
