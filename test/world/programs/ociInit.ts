/** The first process of a container as crun and runc make it. */
import { Effect } from "effect"
import type { Errno } from "../Errno.ts"
import { NamespaceNode, type FifoNode } from "../Node.ts"
import type { NamespaceKind } from "../NamespaceTable.ts"
import { Pipe, PipeEnd } from "../Pipe.ts"
import type { Program, Task } from "../Program.ts"
import type { Process } from "../ProcessTable.ts"
import type { World } from "../World.ts"
import { environment, Refusal, type OciConfig, type OciProcess } from "./ociConfig.ts"
import { containerCommand, findExecutable } from "./shell.ts"

const namespaceNames: Readonly<Record<string, NamespaceKind>> = {
  network: "net",
  ipc: "ipc",
  uts: "uts",
  pid: "pid",
  mount: "mnt",
  user: "user",
  cgroup: "cgroup"
}

/** Mount points exist in the root file system, sources on the host; the program is there. */
export const prepareRoot = (task: Task, config: OciConfig, root: string): Effect.Effect<void, Errno> =>
  Effect.gen(function* () {
    const { vfs } = task
    yield* task
      .sync(() => vfs.directory(root))
      .pipe(Effect.mapError(() => new Refusal(`error stat'ing file ${root}: No such file or directory`)))
    for (const mount of config.mounts ?? []) {
      const bind =
        mount.type === "bind" || (mount.options ?? []).some((option) => option === "bind" || option === "rbind")
      if (!bind || mount.source === undefined) continue
      const { source } = mount
      if (!vfs.exists(source))
        return yield* Effect.fail(new Refusal(`error mounting ${source}: No such file or directory`))
      if (vfs.stat(source, true).kind === "directory") {
        yield* task.sync(() => vfs.makeDirectoryInRoot(root, mount.destination, 0o755, 0, 0))
      }
    }
    yield* containerProgram(task, config.process, root)
  })

export const containerProgram = (task: Task, spec: OciProcess, root: string): Effect.Effect<Program, Errno> => {
  const env = environment(spec.env ?? [])
  const name = spec.args[0] ?? ""
  if (findExecutable(task.world, root, name, env["PATH"] ?? "/usr/bin:/bin") === undefined) {
    return Effect.fail(new Refusal(`executable file \`${name}\` not found in $PATH: No such file or directory`))
  }
  return Effect.succeed(containerCommand(spec.args, { env, cwd: spec.cwd, root }))
}

/** The first process, which waits at the FIFO until it is started. */
export const startInit = (task: Task, config: OciConfig, root: string, fifo: FifoNode): Process => {
  const { world } = task
  fifo.pipe = new Pipe()
  const gate = fifo.pipe
  const reader = new PipeEnd(gate, "read")
  const writer = new PipeEnd(gate, "write")
  const env = environment(config.process.env ?? [])
  const body: Program = (inner) =>
    Effect.gen(function* () {
      yield* gate.read
      inner.close(60)
      inner.close(61)
      return yield* containerCommand(config.process.args, { env, cwd: config.process.cwd, root })(inner)
    })
  const fds = new Map(task.process.fds)
  fds.set(60, reader)
  fds.set(61, writer)
  const joined = namespacesOf(world, config)
  const init = task.fork(body, { newSession: true, fds, env, cwd: config.process.cwd })
  reader.close()
  writer.close()
  init.args = config.process.args
  for (const [kind, node] of joined) init.namespaces.set(kind, node)
  init.namespaceInit = (config.linux?.namespaces ?? []).some((one) => one.type === "pid" && (one.path ?? "") === "")
  if (config.hostname !== undefined) {
    const uts = joined.get("uts")
    if (uts !== undefined) world.namespaces.hostnames.set(uts, config.hostname)
  }
  return init
}

const namespacesOf = (world: World, config: OciConfig): ReadonlyMap<NamespaceKind, NamespaceNode> => {
  const found = new Map<NamespaceKind, NamespaceNode>()
  for (const { type, path } of config.linux?.namespaces ?? []) {
    const kind = namespaceNames[type]
    if (kind === undefined) throw new Refusal(`invalid namespace type ${type}`)
    if (path === undefined || path === "") {
      found.set(kind, world.namespaces.make(kind))
      continue
    }
    if (!world.vfs.exists(path)) throw new Refusal(`open ${path}: No such file or directory`)
    const { node } = world.vfs.paths.find(path, { follow: true })
    if (!(node instanceof NamespaceNode) || node.namespaceKind !== kind) {
      throw new Refusal(`setns ${path}: Invalid argument`)
    }
    found.set(kind, node)
  }
  return found
}
