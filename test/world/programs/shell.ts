/**
 * A small command interpreter: what containers and test children run. Words with quotes and $NAME, lists by ; && || & and
 * newline, ( ) and { } groups are left out; redirections > >> < 2> 2>&1 >&2; trap; the commands in `builtins`.
 */
import { Effect } from "effect"
import { Errno } from "../Errno.ts"
import { Directory, DynamicFile, FileNode, type Node } from "../Node.ts"
import { Pipe, PipeEnd } from "../Pipe.ts"
import type { Location } from "../Paths.ts"
import type { Program, Task } from "../Program.ts"
import { signals, type Process } from "../ProcessTable.ts"
import { Listener } from "../Wire.ts"
import type { World } from "../World.ts"

export interface Surroundings {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Root directory as a path of the host. */
  readonly root: string
}

interface Shell extends Surroundings {
  readonly task: Task
  readonly jobs: Array<Process>
  lastBackground: number
}

/** Node of an executable as a container would find it; names without a slash are looked up in `search`. */
export const findExecutable = (world: World, root: string, name: string, search: string): Node | undefined => {
  const candidates = name.includes("/") ? [name] : search.split(":").map((directory) => `${directory}/${name}`)
  for (const candidate of candidates) {
    try {
      const top = world.vfs.paths.find(root, { follow: true })
      const { node } = world.vfs.paths.find(candidate, { follow: true }, top, top)
      if (!(node instanceof Directory) && (node.mode & 0o111) !== 0) return node
    } catch (error) {
      if (!(error instanceof Errno)) throw error
    }
  }
  return undefined
}

/** The program behind an argument vector, run by the interpreter. */
export const containerCommand =
  (args: ReadonlyArray<string>, surroundings: Surroundings): Program =>
  (task) =>
    command({ ...surroundings, task, jobs: [], lastBackground: 0 }, args)

type Builtin = (shell: Shell, args: ReadonlyArray<string>) => Effect.Effect<number, Errno>

const say = (shell: Shell, fd: number, text: string) => shell.task.write(fd, text)

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
const hostPath = (shell: Shell, path: string): string => {
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

const trap = (shell: Shell, args: ReadonlyArray<string>) =>
  Effect.sync(() => {
    const [action, ...names] = args
    for (const name of names) {
      const signal = signals[name.replace(/^SIG/, "")] ?? Number(name)
      if (action === "" || action === undefined) shell.task.process.handlers.set(signal, "ignore")
      else if (action === "-") shell.task.process.handlers.delete(signal)
      else {
        // The handler runs in a process of its own name; `exit` in it ends this one.
        shell.task.process.handlers.set(signal, () => {
          const context = shell.task.world.processes.context(shell.task.process)
          const ended = runScript({ ...shell, jobs: [] }, action)
          shell.task.world.engine.fork(
            context,
            Effect.catch(
              Effect.flatMap(ended, (code) => finish(shell, code, action)),
              () => Effect.void
            )
          )
        })
      }
    }
    return 0
  })

const finish = (shell: Shell, code: number, script: string): Effect.Effect<void> =>
  Effect.sync(() => {
    if (/\bexit\b/.test(script)) shell.task.world.processes.end(shell.task.process, { code, signal: null })
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

/** nc -l [-s ADDRESS] -p PORT -e PROGRAM: a program for each connection to the address, 127.0.0.1 unless told. */
const netcat = (shell: Shell, args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { process, world } = shell.task
    const after = (flag: string) => (args.includes(flag) ? args[args.indexOf(flag) + 1] : undefined)
    const program = after("-e") ?? "cat"
    const namespace = process.namespaces.get("net") ?? world.hostNamespace("net")
    const listener = new Listener()
    const listening = world.listeners.get(namespace) ?? new Map<string, Listener>()
    const address = `${after("-s") ?? "127.0.0.1"}:${after("-p")}`
    if (listening.has(address)) return yield* Effect.fail(new Errno("EADDRINUSE"))
    world.listeners.set(namespace, listening.set(address, listener))
    process.ended.add(() => {
      listener.close()
      listening.delete(address)
    })
    for (;;) {
      const { incoming, outgoing } = yield* listener.accept
      const fds = new Map([
        [0, incoming],
        [1, outgoing]
      ])
      shell.task.fork((task) => command({ ...shell, task, jobs: [] }, [program]), { fds })
      incoming.close()
      outgoing.close()
    }
  })

const builtins: Readonly<Record<string, Builtin>> = {
  nc: netcat,
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
  trap,
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
    Effect.as(Effect.ignore(shell.task.sync(() => shell.task.vfs.removeFile(hostPath(shell, args.at(-1) ?? "")))), 0),
  setsid: (shell, args) =>
    Effect.suspend(() => {
      shell.task.process.session = shell.task.process.pid
      return command(
        shell,
        args.filter((word) => word !== "-f")
      )
    }),
  exec: (shell, args) => command(shell, args),
  sh: (shell, args) => {
    const at = args.findIndex((word) => /^-\w*c$/.test(word))
    if (at >= 0) return runScript(shell, args[at + 1] ?? "")
    // An interactive shell on a pipe: runs what it reads, ends with it.
    return Effect.flatMap(shell.task.readAll(0), (script) => runScript(shell, Buffer.from(script).toString()))
  }
}

const command = (shell: Shell, args: ReadonlyArray<string>): Effect.Effect<number, Errno> => {
  const name = (args[0] ?? "").split("/").pop() ?? ""
  const builtin =
    name === "busybox" ? undefined : builtins[name === "ash" || name === "bash" || name === "dash" ? "sh" : name]
  if (name === "busybox") return command(shell, args.slice(1))
  if (builtin !== undefined) return builtin(shell, args.slice(1))
  if (shell.root === "/" && shell.task.vfs.exists(args[0] ?? "")) {
    return Effect.suspend(() => {
      const child = shell.task.spawn(args[0] as string, args.slice(1))
      return Effect.map(shell.task.wait(child), (status) => status.code ?? 128 + (status.signal ?? 0))
    })
  }
  return Effect.as(say(shell, 2, `sh: ${args[0]}: not found\n`), 127)
}

interface Piece {
  readonly text: string
  readonly separator: ";" | "&&" | "||" | "&" | "|"
}

/** Splits a script at its separators, outside quotes. */
const split = (script: string): ReadonlyArray<Piece> => {
  const pieces: Array<Piece> = []
  let start = 0
  let quote = ""
  for (let index = 0; index <= script.length; index++) {
    const character = script[index] ?? ";"
    if (quote !== "" && index < script.length) {
      if (character === quote) quote = ""
      continue
    }
    if (character === "'" || character === '"') {
      quote = character
      continue
    }
    const two = script.slice(index, index + 2)
    const redirect = script[index - 1] === ">" || script[index - 1] === "<"
    const separator =
      two === "&&" || two === "||"
        ? two
        : "\n;|".includes(character) || (character === "&" && !redirect)
          ? character
          : ""
    if (separator === "") continue
    const text = script.slice(start, index).trim()
    if (text !== "") pieces.push({ text, separator: separator === "\n" ? ";" : (separator as Piece["separator"]) })
    index += separator.length - 1
    start = index + 1
  }
  return pieces
}

const runScript = (shell: Shell, script: string): Effect.Effect<number, Errno> =>
  Effect.gen(function* () {
    const pieces = split(script)
    let code = 0
    let skip = false
    for (let index = 0; index < pieces.length; index++) {
      const piece = pieces[index] as Piece
      if (!skip) {
        if (piece.separator === "&") code = background(shell, piece.text)
        else if (piece.separator === "|") {
          code = yield* pipeline(shell, piece.text, (pieces[++index] as Piece).text)
        } else {
          const words = expand(shell, piece.text)
          code = yield* simple(shell, words)
          if (words[0] === "exit" || words[0] === "exec") return code
        }
      }
      const { separator } = pieces[index] as Piece
      skip = (separator === "&&" && code !== 0) || (separator === "||" && code === 0) || (skip && separator !== ";")
    }
    return code
  })

const background = (shell: Shell, text: string): number => {
  const child = shell.task.fork((task) => simple({ ...shell, task, jobs: [] }, expand({ ...shell, task }, text)))
  shell.jobs.push(child)
  shell.lastBackground = child.pid
  return 0
}

const pipeline = (shell: Shell, left: string, right: string): Effect.Effect<number, Errno> =>
  Effect.gen(function* () {
    const pipe = new Pipe()
    const ends = [new PipeEnd(pipe, "read"), new PipeEnd(pipe, "write")] as const
    const fds = shell.task.process.fds
    const first = shell.task.fork((task) => simple({ ...shell, task, jobs: [] }, expand({ ...shell, task }, left)), {
      fds: new Map([...fds, [1, ends[1]]])
    })
    const second = shell.task.fork((task) => simple({ ...shell, task, jobs: [] }, expand({ ...shell, task }, right)), {
      fds: new Map([...fds, [0, ends[0]]])
    })
    for (const end of ends) end.close()
    yield* shell.task.wait(first)
    const status = yield* shell.task.wait(second)
    return status.code ?? 128 + (status.signal ?? 0)
  })

/** Words of a simple command: quotes removed, $NAME, $$, $! and $? replaced. */
const expand = (shell: Shell, text: string): Array<string> => {
  const words: Array<string> = []
  const matcher = /(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|((?:[^\s"'\\]|\\.)+))(\s*)/gy
  let current = ""
  let open = false
  for (let match = matcher.exec(text); match !== null; match = matcher.exec(text)) {
    const [, double, single, bare, space] = match
    const value =
      single ??
      (double === undefined ? variables(shell, bare ?? "") : variables(shell, double)).replace(/\\(["\\$])/g, "$1")
    current += value
    open = true
    if (space !== "") {
      words.push(current)
      current = ""
      open = false
    }
  }
  if (open) words.push(current)
  return words
}

const variables = (shell: Shell, text: string): string =>
  text.replace(/\$(?:\{(\w+)\}|(\w+)|([$!?]))/g, (_, braced: string, bare: string, special: string) => {
    if (special === "$") return String(shell.task.process.pid)
    if (special === "!") return String(shell.lastBackground)
    if (special === "?") return "0"
    return shell.env[braced ?? bare] ?? ""
  })

const simple = (shell: Shell, words: ReadonlyArray<string>): Effect.Effect<number, Errno> =>
  Effect.gen(function* () {
    const args: Array<string> = []
    const files: Array<{ fd: number; path: string; append: boolean }> = []
    let copies: ReadonlyArray<readonly [number, number]> = []
    for (let index = 0; index < words.length; index++) {
      const word = words[index] as string
      const redirect = /^(\d?)(>>|>&|>|<)(.*)$/.exec(word)
      if (redirect === null) {
        args.push(word)
        continue
      }
      const [, from, operator, rest] = redirect
      const target = rest === "" ? (words[++index] ?? "") : (rest as string)
      if (operator === ">&") copies = [...copies, [Number(from === "" ? "1" : from), Number(target)]]
      else if (operator === "<") args.push(target)
      else files.push({ fd: Number(from === "" ? "1" : from), path: target, append: operator === ">>" })
    }
    if (args.length === 0) return 0
    if (files.length === 0 && copies.length === 0) return yield* command(shell, args)
    return yield* redirected(shell, args, files, copies)
  })

const redirected = (
  shell: Shell,
  args: ReadonlyArray<string>,
  files: ReadonlyArray<{ readonly fd: number; readonly path: string; readonly append: boolean }>,
  copies: ReadonlyArray<readonly [number, number]>
): Effect.Effect<number, Errno> =>
  Effect.gen(function* () {
    const { process, vfs } = shell.task
    const saved = new Map(process.fds)
    const sinks = files.map(({ fd, path, append }) => ({ fd, path: hostPath(shell, path), append, pipe: new Pipe() }))
    for (const { fd, pipe } of sinks) {
      process.fds.set(fd, new PipeEnd(pipe, "write"))
      process.fds.set(100 + fd, new PipeEnd(pipe, "read"))
    }
    for (const [to, from] of copies) {
      const end = process.fds.get(from)
      if (end === undefined) process.fds.delete(to)
      else process.fds.set(to, end)
    }
    const code = yield* command(shell, args)
    for (const { fd, path, append, pipe } of sinks) {
      const text = pipe.drain()
      yield* shell.task.sync(() => {
        if (path.endsWith("/dev/null")) return
        if (append) vfs.append(path, text)
        else vfs.write(path, text)
      })
      process.fds.delete(100 + fd)
    }
    process.fds.clear()
    for (const [fd, end] of saved) process.fds.set(fd, end)
    return code
  })
