/** Which of the machine's processes belong to a target. */
import { Effect, Option } from "effect"
import { Files } from "../../linux/Files.ts"
import { isGone, type LinuxError } from "../../linux/LinuxError.ts"
import { Processes, type ProcessInfo } from "../../linux/Processes.ts"
import type { Target } from "../Target.ts"
import { waiting } from "./holder.ts"

/** All that hang below one process, without it. */
export const descendants = (all: ReadonlyArray<ProcessInfo>, root: number): ReadonlyArray<ProcessInfo> => {
  const children = new Map<number, Array<ProcessInfo>>()
  for (const process of all) {
    const siblings = children.get(process.parent) ?? []
    siblings.push(process)
    children.set(process.parent, siblings)
  }
  const below = (pid: number): ReadonlyArray<ProcessInfo> =>
    (children.get(pid) ?? []).flatMap((child) => [child, ...below(child.pid)])
  return below(root)
}

const readOf = Effect.fnUntraced(function* (pid: number, name: string) {
  return yield* (yield* Files).readText(`/proc/${pid}/${name}`).pipe(Effect.catchIf(isGone, () => Effect.succeed("")))
})

export const commandLine = (pid: number) =>
  readOf(pid, "cmdline").pipe(Effect.map((text) => text.replaceAll("\0", " ")))

/**
 * In private namespaces: what process 1 has inherited, and what the daemon has started. Else what the daemon has
 * started and what is in the pods' cgroups.
 */
export const processesOf = Effect.fnUntraced(function* (
  target: Target
): Effect.fn.Return<ReadonlyArray<ProcessInfo>, LinuxError, Files | Processes> {
  const all = yield* (yield* Processes).list
  const daemon = yield* target.daemon
  const roots = [target.holder, daemon].flatMap((root) => (Option.isSome(root) ? [root.value.pid] : []))
  const found = new Map(roots.flatMap((root) => descendants(all, root)).map((process) => [process.pid, process]))
  if (Option.isNone(target.holder)) {
    for (const process of all) {
      const cgroup = yield* readOf(process.pid, "cgroup")
      if (cgroup.includes(`:${target.profile.cgroupParent}/`)) found.set(process.pid, process)
    }
  }
  const own: Array<ProcessInfo> = []
  for (const process of found.values()) {
    if (roots.includes(process.pid)) continue
    const isChildOfHolder = Option.isSome(target.holder) && process.parent === target.holder.value.pid
    if (isChildOfHolder && (yield* commandLine(process.pid)).trim() === waiting) continue
    own.push(process)
  }
  return own
})

/** Processes in the container's cgroup, oldest first: its first process, and what that and exec have started. */
export const processesOfContainer = Effect.fnUntraced(function* (containerId: string) {
  const all = yield* (yield* Processes).list
  const found: Array<ProcessInfo> = []
  for (const process of all) {
    if (process.state === "Z") continue
    const cgroup = yield* readOf(process.pid, "cgroup")
    // A monitor may have one of its own, which is called after the container too.
    if (cgroup.includes(containerId) && !cgroup.includes(`conmon-${containerId}`)) found.push(process)
  }
  return found.sort((one, other) => one.startTime - other.startTime || one.pid - other.pid)
})

/** Processes of a program that name an id among their arguments. */
export const processesNaming = Effect.fnUntraced(function* (program: string, id: string) {
  const all = yield* (yield* Processes).list
  const found: Array<ProcessInfo> = []
  for (const process of all) {
    const [path = "", ...args] = (yield* readOf(process.pid, "cmdline")).split("\0")
    if (path.endsWith(program) && args.includes(id)) found.push(process)
  }
  return found
})
