/**
 * Ends an exec with everything it has started. A process may leave its parent (double fork), its session (setsid) and
 * its outputs; it is recognised all the same: by descent, by the session of one that was recognised, or by the exec's id
 * in the environment that it was started with. Cgroups would do it on v2 only, and the runtimes make none on v1.
 */
import { Effect, Option, Schedule } from "effect"
import { Files } from "../../linux/Files.ts"
import { hasEnded, type ProcessIdentity, type ProcessInfo, Processes } from "../../linux/Processes.ts"
import { SIGCONT, SIGHUP, SIGKILL, SIGSTOP } from "../../model/Signal.ts"
import { ExecNotKilled } from "../OciError.ts"
import { execIdVariable } from "../spec/execProcess.ts"

export interface StartedExec {
  readonly containerId: string
  readonly execId: string
  /** The runtime, which waits in the foreground for the command. */
  readonly runtime: ProcessIdentity
  /** Where the runtime writes the command's pid. */
  readonly pidFile: string
}

const key = ({ pid, startTime }: ProcessIdentity) => `${pid}@${startTime}`

/** The processes among `all` that descend from known ones or share a session with one that leads it. */
export const related = (
  all: ReadonlyArray<ProcessInfo>,
  known: ReadonlyMap<string, ProcessIdentity>,
  sessions: ReadonlySet<number>
): ReadonlyArray<ProcessInfo> => {
  const pids = new Set(all.filter((process) => known.has(key(process))).map(({ pid }) => pid))
  const found = new Map<string, ProcessInfo>()
  for (let grew = true; grew;) {
    grew = false
    for (const process of all) {
      if (found.has(key(process))) continue
      if (!known.has(key(process)) && !pids.has(process.parent) && !sessions.has(process.session)) continue
      found.set(key(process), process)
      pids.add(process.pid)
      grew = true
    }
  }
  return Array.from(found.values())
}

const carriesId = Effect.fnUntraced(function* (pid: number, execId: string) {
  const files = yield* Files
  const wanted = `${execIdVariable}=${execId}`
  return yield* files.readFile(`/proc/${pid}/environ`).pipe(
    Effect.map((bytes) => Buffer.from(bytes).toString("latin1").split("\0").includes(wanted)),
    // Gone meanwhile.
    Effect.orElseSucceed(() => false)
  )
})

const commandPid = Effect.fnUntraced(function* (pidFile: string) {
  const files = yield* Files
  const text = yield* Effect.orElseSucceed(files.readText(pidFile), () => "")
  return /^\d+$/.test(text.trim()) ? Number(text) : undefined
})

/** The process that the exec was for, once the runtime has started it and as long as it runs. */
export const findCommand = Effect.fnUntraced(function* ({ pidFile, runtime }: StartedExec) {
  const processes = yield* Processes
  const pid = yield* commandPid(pidFile)
  if (pid === undefined) return undefined
  const found = Option.getOrUndefined(yield* processes.find(pid))
  return found !== undefined && found.startTime >= runtime.startTime ? found : undefined
})

/** As the kernel does for the terminal of somebody who has left (termios(3), "hang up"): what was stopped shall hear it. */
export const hangUp = Effect.fnUntraced(function* (exec: StartedExec) {
  const processes = yield* Processes
  // Whoever leaves at once is faster than the runtime.
  const command = yield* findCommand(exec).pipe(
    Effect.repeat({ schedule: Schedule.spaced("100 millis"), times: 100, until: (found) => found !== undefined })
  )
  if (command === undefined) return
  yield* processes.signal(command, SIGHUP)
  yield* processes.signal(command, SIGCONT)
})

/** Milliseconds between looks for survivors; a killed process is gone within a few, one in I/O takes longer. */
const patience: ReadonlyArray<number> = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
/** A process that forks faster than it is found is stopped sooner or later; this many looks bound the wait for that. */
const rounds = 100

/** Stops all before killing any, so that nobody can react by starting more. */
export const killExec = Effect.fnUntraced(function* (exec: StartedExec) {
  const processes = yield* Processes
  const known = new Map([[key(exec.runtime), exec.runtime]])
  const sessions = new Set<number>()
  const pid = yield* commandPid(exec.pidFile)
  if (pid !== undefined) {
    const command = yield* processes.find(pid)
    if (Option.isSome(command) && command.value.startTime >= exec.runtime.startTime) {
      known.set(key(command.value), command.value)
    }
    // It leads a session of its own, which outlives it.
    sessions.add(pid)
  }

  const living = Effect.fnUntraced(function* () {
    const all = (yield* processes.list).filter(
      (process) => !hasEnded(process) && process.startTime >= exec.runtime.startTime
    )
    const marked = yield* Effect.filter(all, (process) => carriesId(process.pid, exec.execId))
    for (const process of marked) known.set(key(process), process)
    const found = related(all, known, sessions)
    for (const process of found) if (process.session === process.pid) sessions.add(process.pid)
    return found
  })

  const stopped = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const fresh = (yield* living()).filter((process) => !stopped.has(key(process)))
    if (fresh.length === 0) break
    for (const process of fresh) {
      known.set(key(process), process)
      stopped.add(key(process))
      yield* processes.signal(process, SIGSTOP)
    }
  }
  let survivors: ReadonlyArray<ProcessInfo> = []
  for (const wait of patience) {
    for (const process of known.values()) yield* processes.signal(process, SIGKILL)
    survivors = yield* living()
    if (survivors.length === 0) return
    for (const process of survivors) known.set(key(process), process)
    yield* Effect.sleep(wait)
  }
  return yield* new ExecNotKilled({ containerId: exec.containerId, pids: survivors.map((process) => process.pid) })
})
