/**
 * A small command interpreter: what containers and test children run. Words with quotes and $NAME, lists by ; && || & and
 * newline, ( ) and { } groups are left out; redirections > >> < 2> 2>&1 >&2; trap; the commands in `builtins`.
 */
import { Effect } from "effect"
import { Errno } from "../Errno.ts"
import { Directory, type Node } from "../Node.ts"
import { Pipe, PipeEnd } from "../Pipe.ts"
import type { Program } from "../Program.ts"
import { signals } from "../ProcessTable.ts"
import { Listener } from "../Wire.ts"
import type { World } from "../World.ts"
import { hostPath, plainCommands, say, type Builtin, type Shell, type Surroundings } from "./shellCommands.ts"
import { expand, split, type Piece } from "./shellSyntax.ts"

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
  ...plainCommands,
  nc: netcat,
  trap,
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
          const words = wordsOf(shell, piece.text)
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
  const child = shell.task.fork((task) => simple({ ...shell, task, jobs: [] }, wordsOf({ ...shell, task }, text)))
  shell.jobs.push(child)
  shell.lastBackground = child.pid
  return 0
}

const pipeline = (shell: Shell, left: string, right: string): Effect.Effect<number, Errno> =>
  Effect.gen(function* () {
    const pipe = new Pipe()
    const ends = [new PipeEnd(pipe, "read"), new PipeEnd(pipe, "write")] as const
    const fds = shell.task.process.fds
    const first = shell.task.fork((task) => simple({ ...shell, task, jobs: [] }, wordsOf({ ...shell, task }, left)), {
      fds: new Map([...fds, [1, ends[1]]])
    })
    const second = shell.task.fork((task) => simple({ ...shell, task, jobs: [] }, wordsOf({ ...shell, task }, right)), {
      fds: new Map([...fds, [0, ends[0]]])
    })
    for (const end of ends) end.close()
    yield* shell.task.wait(first)
    const status = yield* shell.task.wait(second)
    return status.code ?? 128 + (status.signal ?? 0)
  })

/** Words of a simple command. */
const wordsOf = (shell: Shell, text: string): Array<string> =>
  expand(text, (name) => {
    if (name === "$") return String(shell.task.process.pid)
    if (name === "!") return String(shell.lastBackground)
    if (name === "?") return "0"
    return shell.env[name] ?? ""
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
