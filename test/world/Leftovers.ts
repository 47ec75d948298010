/** What of a world could have been left behind: every kind of thing that a daemon takes, as sorted lines. */
import { Directory } from "./Node.ts"
import type { World } from "./World.ts"

/** Lines like "mount overlay /var/…"; equal things more than once are told apart by a count. */
export type Holdings = ReadonlySet<string>

const counted = (lines: Iterable<string>): Holdings => {
  const counts = new Map<string, number>()
  const set = new Set<string>()
  for (const line of lines) {
    const count = (counts.get(line) ?? 0) + 1
    counts.set(line, count)
    set.add(count === 1 ? line : `${line} ×${count}`)
  }
  return set
}

/** `roots` are the directories whose files count. */
export const holdings = (world: World, roots: ReadonlyArray<string>): Holdings => {
  world.collectNamespaces()
  return counted(everything(world, roots))
}

function* everything(world: World, roots: ReadonlyArray<string>): Generator<string> {
  for (const mount of world.vfs.table.entries()) yield `mount ${mount.type} ${mount.target}`
  const host = new Set(world.namespaces.host.values())
  for (const node of world.namespaces.alive) if (!host.has(node)) yield `namespace ${node.namespaceKind}`
  for (const process of world.processes.all.values()) {
    if (process === world.processes.init || process.pid === world.selfPid) continue
    yield `process ${process.path} ${process.args.join(" ")}${process.exit === undefined ? "" : " (zombie)"}`
  }
  for (const [hierarchy, root] of world.cgroupRoots) {
    for (const cgroup of root.everything()) if (cgroup !== root) yield `cgroup ${hierarchy} ${cgroup.path}`
  }
  for (const [namespace, links] of world.namespaces.links) {
    if (namespace !== world.hostNamespace("net")) continue
    for (const link of links.values()) yield `link ${link.kind} ${link.kind === "veth" ? "" : link.name}`.trim()
  }
  for (const rule of world.rules) yield `rule ${rule}`
  if (world.locks.size > 0) yield `locks ${world.locks.size}`
  const daemon = world.processes.all.get(world.selfPid)
  if (daemon !== undefined && daemon.fds.size > 0) yield `open pipes of the daemon ${daemon.fds.size}`
  for (const root of roots) if (world.vfs.exists(root)) yield* files(world, root)
}

function* files(world: World, path: string): Generator<string> {
  const location = world.vfs.paths.find(path, { follow: false })
  if (!(location.node instanceof Directory)) {
    yield `file ${path}`
    return
  }
  yield `directory ${path}`
  // What another file system shows here is told by the mount's line.
  if (!["ext4", "tmpfs"].includes(location.mount.fs.type)) return
  for (const name of location.node.names()) yield* files(world, `${path}/${name}`)
}

/** What is there now and was not before. */
export const leftover = (before: Holdings, after: Holdings): ReadonlyArray<string> =>
  [...after].filter((line) => !before.has(line)).sort()
