/** Finds the conmon of a container and ends it with all that it still holds. */
import { Effect, Option } from "effect"
import type { Files } from "../../linux/Files.ts"
import type { ProcessIdentity, Processes, ProcessInfo } from "../../linux/Processes.ts"
import { conmonPidFile, isMonitorOf } from "./arguments.ts"
import { SIGKILL } from "../../model/Signal.ts"

type Services = { readonly files: Files["Service"]; readonly processes: Processes["Service"] }

const argvOf = ({ files }: Services, pid: number): Effect.Effect<ReadonlyArray<string>> =>
  files.readText(`/proc/${pid}/cmdline`).pipe(
    Effect.map((text) => text.split("\0")),
    Effect.orElseSucceed(() => [])
  )

const hasEnded = (process: ProcessInfo): boolean => process.state === "Z" || process.state === "X"

/** The monitor named by the pid file, if that pid still is this container's monitor. */
export const findMonitor = Effect.fnUntraced(function* (
  services: Services,
  container: { readonly containerId: string; readonly bundle: string }
): Effect.fn.Return<Option.Option<ProcessInfo>> {
  const text = yield* services.files.readText(conmonPidFile(container.bundle)).pipe(Effect.orElseSucceed(() => ""))
  const pid = Number(text.trim())
  if (!Number.isInteger(pid) || pid <= 1) return Option.none()
  // The identity comes first: should the pid be used again meanwhile, the start time no longer fits.
  const found = yield* services.processes.find(pid).pipe(Effect.orElseSucceed(() => Option.none()))
  if (Option.isNone(found) || hasEnded(found.value)) return Option.none()
  return isMonitorOf(yield* argvOf(services, pid), container.containerId) ? found : Option.none()
})

/**
 * Every conmon of the container. conmon's first process writes the pid file after it has forked, so one that was killed
 * in between has left a monitor that only its command line names.
 */
export const findMonitors = Effect.fnUntraced(function* (
  services: Services,
  container: { readonly containerId: string; readonly bundle: string }
) {
  const hasPidFile = yield* services.files.lstat(conmonPidFile(container.bundle)).pipe(
    Effect.as(true),
    Effect.orElseSucceed(() => false)
  )
  if (hasPidFile) return Option.toArray(yield* findMonitor(services, container))
  const all = yield* services.processes.list
  const found: Array<ProcessIdentity> = []
  for (const process of all) {
    if (hasEnded(process)) continue
    if (isMonitorOf(yield* argvOf(services, process.pid), container.containerId)) found.push(process)
  }
  return found
})

const SIGSTOP = 19

/**
 * Ends a monitor and its whole tree. The monitor is stopped first: as a stopped subreaper it can neither report nor
 * exit, so nothing escapes from the tree while that is killed. True when all of it has ended within about a second.
 */
export const endMonitor = Effect.fnUntraced(function* ({ processes }: Services, monitor: ProcessIdentity) {
  if (!(yield* processes.signal(monitor, SIGSTOP))) return true
  for (let round = 0; round < 50; round++) {
    const below = descendants(yield* processes.list, monitor.pid).filter((process) => !hasEnded(process))
    if (below.length === 0) break
    yield* Effect.forEach(below, (process) => processes.signal(process, SIGKILL))
    yield* Effect.sleep("20 millis")
  }
  yield* processes.signal(monitor, SIGKILL)
  const ended = yield* Effect.timeoutOption(processes.awaitEnd(monitor), "2 seconds")
  return Option.isSome(ended)
})

const descendants = (all: ReadonlyArray<ProcessInfo>, root: number): ReadonlyArray<ProcessInfo> => {
  const children = Map.groupBy(all, (process) => process.parent)
  const below = (pid: number): ReadonlyArray<ProcessInfo> =>
    (children.get(pid) ?? []).flatMap((child) => [child, ...below(child.pid)])
  return below(root)
}
