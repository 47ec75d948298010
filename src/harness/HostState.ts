/** What a target holds of the host, as lines by kind, and what of it differs from before. Only the target's own is read. */
import { Effect, Option } from "effect"
import { Files } from "../linux/Files.ts"
import { isGone, type LinuxError } from "../linux/LinuxError.ts"
import { Processes, type ProcessInfo } from "../linux/Processes.ts"
import { processesOf } from "./internal/ownProcesses.ts"
import type { HostKind } from "./Profile.ts"
import type { Target } from "./Target.ts"

/** What is compared line by line. */
export type Kind = Exclude<HostKind, "descriptors" | "memory">
const kinds: ReadonlyArray<Kind> = [
  "mounts",
  "namespaces",
  "links",
  "firewall",
  "ports",
  "cgroups",
  "processes",
  "files"
]

export interface DaemonState {
  /** Without those that it may keep for a while. */
  readonly descriptors: number
  readonly residentMiB: number
}

export interface HostState {
  /** Empty for kinds that the profile does not compare. */
  readonly lines: Readonly<Record<Kind, ReadonlyArray<string>>>
  readonly daemon: DaemonState | undefined
}

const pageBytes = 4096

const orEmpty = <A, R>(self: Effect.Effect<ReadonlyArray<A>, LinuxError, R>) =>
  Effect.catchIf(self, isGone, () => Effect.succeed<ReadonlyArray<A>>([]))

const procOf = (target: Target): string =>
  Option.match(target.holder, { onNone: () => "/proc/self", onSome: ({ pid }) => `/proc/${pid}` })

const matchesAny = (patterns: ReadonlyArray<string>) => {
  const expressions = patterns.map((pattern) => new RegExp(pattern))
  return (path: string) => expressions.some((expression) => expression.test(path))
}

const isBelow = (directories: ReadonlyArray<string>) => (path: string) =>
  directories.some((directory) => path === directory || path.startsWith(`${directory}/`))

/** Type, place and source; ids and counters differ without meaning anything. */
const mounts = Effect.fnUntraced(function* (target: Target) {
  const text = yield* (yield* Files).readText(`${procOf(target)}/mountinfo`)
  const own = isBelow([...target.profile.paths, "/run/netns", "/run/utsns", "/run/ipcns", "/run/userns"])
  const isOwn = Option.isSome(target.holder) ? () => true : own
  const isLasting = matchesAny(target.profile.lastingMounts)
  const entries = text.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ")
    const place = before?.split(" ")[4]
    if (place === undefined || after === undefined || !isOwn(place) || isLasting(place)) return []
    const [type = "", source = ""] = after.split(" ")
    return [{ place, type, source }]
  })
  return {
    mounts: entries
      .filter(({ type }) => type !== "nsfs")
      .map(({ place, type, source }) => `${place} ${type} ${source}`),
    namespaces: entries.filter(({ type }) => type === "nsfs").map(({ place }) => place)
  }
})

const links = Effect.fnUntraced(function* (target: Target) {
  const text = yield* (yield* Files).readText(`${procOf(target)}/net/dev`)
  const own = new RegExp(Option.isSome(target.holder) ? "" : target.profile.links)
  return text
    .split("\n")
    .slice(2)
    .flatMap((line) => line.split(":")[0]?.trim() || [])
    .filter((name) => own.test(name))
})

/** Rules and chains that somebody made; built-in chains appear with the first look at a table. */
const firewall = Effect.fnUntraced(function* (target: Target) {
  const lines: Array<string> = []
  for (const program of ["iptables-save", "ip6tables-save"]) {
    const text = yield* target.run([program]).pipe(Effect.orElseSucceed(() => ""))
    let table = ""
    for (const line of text.split("\n")) {
      if (line.startsWith("*")) table = line.slice(1)
      const isMade = line.startsWith("-A ") || /^:\S+ -/.test(line)
      if (isMade) lines.push(`${program} ${table} ${line.replace(/ ?\[\d+:\d+\]/, "")}`)
    }
  }
  return lines
})

const listening = "0A"

/** Inodes of the sockets that a process has open. */
const socketsOf = Effect.fnUntraced(function* (pid: number) {
  const files = yield* Files
  const sockets = new Set<string>()
  for (const name of yield* files.readDirectory(`/proc/${pid}/fd`).pipe(orEmpty)) {
    const link = yield* files.readLink(`/proc/${pid}/fd/${name}`).pipe(Effect.catchIf(isGone, () => Effect.succeed("")))
    const [, inode] = /^socket:\[(\d+)\]$/.exec(link) ?? []
    if (inode !== undefined) sockets.add(inode)
  }
  return sockets
})

/** Without the daemon's own, which may be others after a restart. Of a shared network no port is said to be the target's. */
const ports = Effect.fnUntraced(function* (target: Target) {
  if (Option.isNone(target.holder)) return []
  const daemon = yield* target.daemon
  const own = Option.isSome(daemon) ? yield* socketsOf(daemon.value.pid) : new Set<string>()
  const found: Array<string> = []
  for (const table of ["tcp", "tcp6"]) {
    const text = yield* (yield* Files).readText(`${procOf(target)}/net/${table}`)
    for (const line of text.split("\n")) {
      const fields = line.trim().split(/\s+/)
      const [, local, , state] = fields
      if (state !== listening || local === undefined || own.has(fields[9] ?? "")) continue
      const [address = "", port = ""] = local.split(":")
      found.push(`${table} ${address} ${Number.parseInt(port, 16)}`)
    }
  }
  return found
})

const directoriesBelow: (path: string) => Effect.Effect<ReadonlyArray<string>, LinuxError, Files> = Effect.fnUntraced(
  function* (path) {
    const entries = yield* (yield* Files).readDirectoryEntries(path).pipe(orEmpty)
    const names = entries.filter(({ kind }) => kind === "directory").map(({ name }) => `${path}/${name}`)
    const deeper = yield* Effect.forEach(names, directoriesBelow)
    return [...names, ...deeper.flat()]
  }
)

/** Mount points of cgroup file systems; other directories there are not cgroups. */
export const cgroupMounts = Effect.fnUntraced(function* (target: Target) {
  const text = yield* (yield* Files).readText(`${procOf(target)}/mountinfo`)
  return text
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .flatMap((line) => line.split(" ")[4] ?? [])
})

/** Below the parent each pod's cgroup is kubelet's; what is in one is the runtime's. */
const cgroups = Effect.fnUntraced(function* (target: Target) {
  const found: Array<string> = []
  for (const mount of yield* cgroupMounts(target)) {
    const parent = target.seen(`${mount}${target.profile.cgroupParent}`)
    for (const path of yield* directoriesBelow(parent)) {
      if (path.slice(parent.length + 1).includes("/")) found.push(path.slice(target.seen(mount).length))
    }
  }
  return [...new Set(found)].sort()
})

const describeProcess = ({ pid, state, command }: ProcessInfo) =>
  state === "Z" ? `${command} (${pid}) waits to be reaped` : `${command} (${pid})`

const filesBelow: (
  target: Target,
  path: string,
  isLasting: (path: string) => boolean
) => Effect.Effect<ReadonlyArray<string>, LinuxError, Files> = Effect.fnUntraced(function* (target, path, isLasting) {
  const entries = yield* (yield* Files).readDirectoryEntries(target.seen(path)).pipe(orEmpty)
  const found = entries.map(({ name, kind }) => ({ path: `${path}/${name}`, kind }))
  const deeper = yield* Effect.forEach(
    found.filter((one) => one.kind === "directory" && !isLasting(`${one.path}/`)),
    (one) => filesBelow(target, one.path, isLasting)
  )
  return [...found.filter((one) => !isLasting(one.path)).map((one) => one.path), ...deeper.flat()]
})

const mostDescriptors = 1 << 20

/** Undefined where the daemon's process is not known. */
export const daemonState = Effect.fnUntraced(function* (target: Target) {
  const daemon = yield* target.daemon
  if (Option.isNone(daemon)) return undefined
  const files = yield* Files
  const { pid } = daemon.value
  const [, resident] = (yield* files.readText(`/proc/${pid}/statm`)).split(" ")
  const isKept = matchesAny(target.profile.keptDescriptors)
  const links = (yield* files.readKernelLinks(`/proc/${pid}/fd`, mostDescriptors)) ?? []
  const descriptors = links.filter((link) => !isKept(link)).length
  return { descriptors, residentMiB: (Number(resident) * pageBytes) / (1 << 20) }
})

export const readHostState = Effect.fn("readHostState")(function* (
  target: Target
): Effect.fn.Return<HostState, LinuxError, Files | Processes> {
  const { paths, lasting, compared } = target.profile
  const isLasting = matchesAny(lasting)
  const when = <A, E, R>(kind: HostKind, read: Effect.Effect<ReadonlyArray<A>, E, R>) =>
    compared.includes(kind) ? read : Effect.succeed<ReadonlyArray<A>>([])
  const mounted = yield* mounts(target)
  const allFiles = Effect.map(
    Effect.forEach(paths, (path) => filesBelow(target, path, isLasting)),
    (found) => found.flat()
  )
  return {
    lines: {
      mounts: yield* when("mounts", Effect.succeed(mounted.mounts)),
      namespaces: yield* when("namespaces", Effect.succeed(mounted.namespaces)),
      links: yield* when("links", links(target)),
      firewall: yield* when("firewall", firewall(target)),
      ports: yield* when("ports", ports(target)),
      cgroups: yield* when("cgroups", cgroups(target)),
      processes: (yield* when("processes", processesOf(target))).map(describeProcess),
      files: yield* when("files", allFiles)
    },
    daemon: yield* daemonState(target)
  }
})

export interface Difference {
  readonly kind: HostKind
  readonly text: string
}

const compare = (
  kind: Kind,
  before: ReadonlyArray<string>,
  after: ReadonlyArray<string>
): ReadonlyArray<Difference> => {
  const left = [...after]
  const gone: Array<Difference> = []
  for (const line of before) {
    const index = left.indexOf(line)
    if (index === -1) gone.push({ kind, text: `gone: ${line}` })
    else left.splice(index, 1)
  }
  return [...gone, ...left.map((line): Difference => ({ kind, text: `left: ${line}` }))]
}

export interface Bounds {
  readonly descriptors: number
  readonly memory: number
}

/** One entry for each thing that is there now and was not, or was and is not, and for each bound that is passed. */
export const differences = (before: HostState, after: HostState, bounds: Bounds): ReadonlyArray<Difference> => {
  const grown: Array<Difference> = []
  if (before.daemon !== undefined && after.daemon !== undefined) {
    const descriptors = after.daemon.descriptors - before.daemon.descriptors
    const memory = Math.round(after.daemon.residentMiB - before.daemon.residentMiB)
    if (descriptors > bounds.descriptors) grown.push({ kind: "descriptors", text: `${descriptors} more than before` })
    if (memory > bounds.memory) grown.push({ kind: "memory", text: `${memory} MiB more than before` })
  }
  return [...kinds.flatMap((kind) => compare(kind, before.lines[kind], after.lines[kind])), ...grown]
}
