/** Commands of the small command interpreter, by themselves. */
import { Effect } from "effect"
import { Errno } from "../Errno.ts"
import { Directory, DynamicFile, FileNode } from "../Node.ts"
import type { Location } from "../Paths.ts"
import type { Task } from "../Program.ts"
import { signals, type Process } from "../ProcessTable.ts"

export interface Surroundings {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Root directory as a path of the host. */
  readonly root: string
}

export interface Shell extends Surroundings {
  readonly task: Task
  readonly jobs: Array<Process>
  lastBackground: number
}

export type Builtin = (shell: Shell, args: ReadonlyArray<string>) => Effect.Effect<number, Errno>

export const say = (shell: Shell, fd: number, text: string) => shell.task.write(fd, text)

const seconds = (text: string | undefined): number => {
  if (text === undefined || text === "infinity" || text === "inf") return Number.POSITIVE_INFINITY
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[text.slice(-1)]
  return unit === undefined ? Number(text) : Number(text.slice(0, -1)) * unit
}

const top = (shell: Shell): Location => shell.task.vfs.paths.find(shell.root, { follow: true })

const readFile = (shell: Shell, path: string): Uint8Array => {
  const root = top(shell)
  const from = path.startsWith("/") ? root : shell.task.vfs.paths.find(`.${shell.cwd}`, { follow: true }, root, root)
  const { node } = shell.task.vfs.paths.find(path, { follow: true }, from, root)
  if (node instanceof FileNode) return node.data
  if (node instanceof DynamicFile) return Buffer.from(node.get())
  throw new Errno(node instanceof Directory ? "EISDIR" : "EINVAL")
}

/** A path of the container as a path of the host: good enough for writing, links out of the root are not followed. */
export const hostPath = (shell: Shell, path: string): string => {
  const absolute = path.startsWith("/") ? path : `${shell.cwd}/${path}`
  return shell.root === "/" ? absolute : `${shell.root}${absolute}`
}

const cat = (shell: Shell, args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    if (args.length === 0) {
      for (;;) {
        const chunk = yield* shell.task.read(0)
        if (chunk === undefined) return 0
        yield* shell.task.write(1, chunk)
      }
    }
    let code = 0
    for (const path of args) {
      const data = yield* Effect.exit(shell.task.sync(() => readFile(shell, path)))
      if (data._tag === "Success") yield* shell.task.write(1, data.value)
      else {
        yield* say(shell, 2, `cat: can't open '${path}': No such file or directory\n`)
        code = 1
      }
    }
    return code
  })

const head = (shell: Shell, args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const count = Number(args[args.indexOf("-c") + 1] ?? "0")
    const block = new Uint8Array(4096)
    for (let left = count; left > 0; left -= block.length) yield* shell.task.write(1, block.subarray(0, left))
    return 0
  })

const kill = (shell: Shell, args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const flag = args.find((word) => word.startsWith("-"))
    const name = flag === undefined ? "TERM" : args[0] === "-s" ? (args[1] ?? "TERM") : flag.slice(1)
    const signal = signals[name.replace(/^SIG/, "")] ?? Number(name)
    const pid = Number(args.at(-1))
    const found = shell.task.world.processes.all.get(pid === 1 && shell.root !== "/" ? initOf(shell) : pid)
    if (found === undefined || !shell.task.world.processes.signal(found, signal)) {
      yield* say(shell, 2, `kill: can't kill pid ${pid}: No such process\n`)
      return 1
    }
    yield* Effect.yieldNow
    return 0
  })

const initOf = (shell: Shell): number => {
  const namespace = shell.task.process.namespaces.get("pid")
  for (const process of shell.task.world.processes.all.values()) {
    if (process.namespaceInit && process.namespaces.get("pid") === namespace) return process.pid
  }
  return 1
}

const wait = (shell: Shell) =>
  Effect.gen(function* () {
    let code = 0
    for (const job of shell.jobs.splice(0)) {
      const status = yield* shell.task.wait(job)
      code = status.code ?? 128 + (status.signal ?? 0)
    }
    return code
  })

const outOfMemory = (shell: Shell) =>
  Effect.suspend(() => {
    const { process, world } = shell.task
    for (const cgroup of process.cgroups.values()) {
      cgroup.values.set("memory.events", "low 0\nhigh 0\nmax 1\noom 1\noom_kill 1\noom_group_kill 0\n")
      cgroup.values.set("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    }
    world.oomKilled.add(process)
    world.processes.signal(process, 9)
    return Effect.never
  })

/** Those that start no other command. */
export const plainCommands: Readonly<Record<string, Builtin>> = {
  line: (shell) =>
    Effect.flatMap(shell.task.read(0), (chunk) => Effect.as(shell.task.write(1, chunk ?? new Uint8Array(0)), 0)),
  stty: (shell) => Effect.as(say(shell, 1, `${shell.task.process.terminal?.size ?? "not a terminal"}\n`), 0),
  true: () => Effect.succeed(0),
  false: () => Effect.succeed(1),
  ":": () => Effect.succeed(0),
  exit: (_, args) => Effect.succeed(Number(args[0] ?? "0")),
  sleep: (_, args) =>
    Effect.suspend(() => {
      const time = seconds(args[0])
      return Number.isFinite(time) ? Effect.as(Effect.sleep(time * 1000), 0) : Effect.never
    }),
  pause: () => Effect.never,
  echo: (shell, args) => {
    const plain = args[0] === "-n"
    const words = args.slice(plain || args[0] === "-e" ? 1 : 0)
    return Effect.as(say(shell, 1, `${words.join(" ")}${plain ? "" : "\n"}`), 0)
  },
  printf: (shell, args) => {
    let index = 1
    const text = (args[0] ?? "")
      .replace(/\\n/g, "\n")
      .replace(/\\t/g, "\t")
      .replace(/\\0/g, "\0")
      .replace(/%[sd]/g, () => args[index++] ?? "")
    return Effect.as(say(shell, 1, text), 0)
  },
  cat,
  head,
  kill,
  wait,
  oom: outOfMemory,
  pwd: (shell) => Effect.as(say(shell, 1, `${shell.cwd}\n`), 0),
  env: (shell) =>
    Effect.as(
      say(
        shell,
        1,
        Object.entries(shell.env)
          .map(([name, value]) => `${name}=${value}\n`)
          .join("")
      ),
      0
    ),
  hostname: (shell) => {
    const uts = shell.task.process.namespaces.get("uts")
    const name = (uts && shell.task.world.namespaces.hostnames.get(uts)) ?? "localhost"
    return Effect.as(say(shell, 1, `${name}\n`), 0)
  },
  mkdir: (shell, args) =>
    Effect.as(
      shell.task.sync(() => shell.task.vfs.makeDirectories(hostPath(shell, args.at(-1) ?? ""))),
      0
    ),
  touch: (shell, args) =>
    Effect.as(
      shell.task.sync(() => shell.task.vfs.append(hostPath(shell, args.at(-1) ?? ""), "")),
      0
    ),
  rm: (shell, args) =>
    Effect.as(Effect.ignore(shell.task.sync(() => shell.task.vfs.removeFile(hostPath(shell, args.at(-1) ?? "")))), 0)
}
