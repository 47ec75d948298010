/** Control groups of this host, v1 and v2 alike: what they use, who is in them, freezing, killing, removing. */
import { Context, Duration, Effect, Layer, Schedule } from "effect"
import { posix } from "node:path"
import { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { CgroupError } from "./CgroupError.ts"
import { parseKeyed, parseProcesses } from "./internal/files.ts"
import { type Hierarchies, parseMountInfo } from "./internal/hierarchies.ts"
import { makePlacement } from "./internal/placement.ts"
import { makeReaders } from "./internal/readers.ts"
import type { Details, Usage } from "./Usage.ts"

/** Sends SIGKILL to a process; a process that is gone already is no failure. */
export type KillProcess = (pid: number) => Effect.Effect<void, LinuxError>

type Failure = LinuxError | CgroupError

/** Cgroups are named by their path in the hierarchy (`ContainerCgroup.path`). A cgroup that is not there fails with ENOENT, except where usage is asked for or where removing or killing it is then already done. */
export class Cgroups extends Context.Service<
  Cgroups,
  {
    /** 1 also for hybrid mounts. */
    readonly version: 1 | 2
    /** Of several, in their order: one read of all their files, in about 50 µs each. Undefined for one that is not there. */
    readonly usage: (cgroups: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Usage | undefined>, Failure>
    /** The same of one, with what only metrics ask for. */
    readonly usageInDetail: (
      cgroup: string
    ) => Effect.Effect<{ readonly usage: Usage; readonly details: Details } | undefined, Failure>
    /** Every process of the cgroup and of those below it. */
    readonly processes: (cgroup: string) => Effect.Effect<ReadonlyArray<number>, Failure>
    /** Makes the cgroup in every hierarchy, with its parents, fit to take processes; the directories. */
    readonly make: (cgroup: string) => Effect.Effect<ReadonlyArray<string>, Failure>
    /** Moves a process into the cgroups that another one is in. Does nothing when the first has ended. */
    readonly follow: (pid: number, leader: number) => Effect.Effect<void, Failure>
    /** Stops every process; returns when all stand still, fails after 5 s. */
    readonly freeze: (cgroup: string) => Effect.Effect<void, Failure>
    readonly thaw: (cgroup: string) => Effect.Effect<void, Failure>
    /** Kills every process, also those that fork meanwhile; returns when none is left, fails after 10 s. */
    readonly killAll: (cgroup: string, kill: KillProcess) => Effect.Effect<void, Failure>
    /** Removes the cgroup and those below it in every hierarchy; fails when it is still busy after 5 s. */
    readonly remove: (cgroup: string) => Effect.Effect<void, Failure>
    /** Removes the cgroup itself wherever it has neither processes nor cgroups below it; leaves it alone elsewhere. */
    readonly removeIfEmpty: (cgroup: string) => Effect.Effect<void, Failure>
  }
>()("cricket/cgroup/Cgroups") {
  static readonly layerFrom = (mountInfo: string): Layer.Layer<Cgroups, Failure, Files> =>
    Layer.effect(
      Cgroups,
      Effect.gen(function* () {
        const files = yield* Files
        const hierarchies = parseMountInfo(yield* files.readText(mountInfo))
        if (hierarchies === undefined) {
          return yield* new CgroupError({ cgroup: "/", reason: "no cgroup file system is mounted" })
        }
        return makeCgroups(files, hierarchies)
      })
    )

  static readonly layer = Cgroups.layerFrom("/proc/self/mountinfo")
}

const freezeLimit = Duration.seconds(5)
const killLimit = Duration.seconds(10)
const removeLimit = Duration.seconds(5)

/** 5, 10, 20 … 200 ms between attempts: an exiting process leaves its cgroup within milliseconds as a rule. */
const backOff = Schedule.min([Schedule.exponential("5 millis"), Schedule.spaced("200 millis")])

const makeCgroups = (files: Files["Service"], hierarchies: Hierarchies): Cgroups["Service"] => {
  const { version, controllers, mounts } = hierarchies

  const below = (mount: string, cgroup: string): Effect.Effect<string, CgroupError> =>
    posix.join("/", cgroup) === "/" || cgroup.split("/").includes("..")
      ? Effect.fail(new CgroupError({ cgroup, reason: "the root and paths with .. are never acted on" }))
      : Effect.succeed(posix.join(mount, cgroup))

  const mountOf = (controller: string) => (version === 2 ? mounts[0] : controllers.get(controller))

  /** The directory in which a controller's files of the cgroup are. */
  const directory = (controller: string, cgroup: string): Effect.Effect<string, CgroupError> => {
    const mount = mountOf(controller)
    return mount === undefined
      ? Effect.fail(new CgroupError({ cgroup, reason: `the ${controller} controller is not mounted` }))
      : below(mount, cgroup)
  }

  /** v1 has one process list per hierarchy, all alike; the runtimes join every one of these. */
  const listing = ["pids", "freezer", "memory", "cpu"].find((controller) => controllers.has(controller)) ?? "pids"

  const children = (parent: string) =>
    Effect.map(files.readDirectoryEntries(parent), (entries) =>
      entries.flatMap(({ name, kind }) => (kind === "directory" ? [posix.join(parent, name)] : []))
    )

  /** Processes of a directory and those below. Threaded cgroups have no list of their own (EOPNOTSUPP): their domain has it. */
  const processesBelow: (path: string) => Effect.Effect<ReadonlyArray<number>, LinuxError> = Effect.fnUntraced(
    function* (path) {
      const own = yield* files.readText(posix.join(path, "cgroup.procs")).pipe(
        Effect.map(parseProcesses),
        Effect.catch((error) => (error.code === "EOPNOTSUPP" ? Effect.succeed([]) : Effect.fail(error)))
      )
      const inner = yield* Effect.forEach(yield* children(path), (child) =>
        processesBelow(child).pipe(
          Effect.catch((error) =>
            error.code === "ENOENT" || error.code === "ENODEV" ? Effect.succeed([]) : Effect.fail(error)
          )
        )
      )
      return [...new Set([...own, ...inner.flat()])]
    }
  )

  const processes = Effect.fn("Cgroups.processes")(function* (cgroup: string) {
    return yield* processesBelow(yield* directory(listing, cgroup))
  })

  /** Repeats until the answer is true, with back-off, for a limited time. */
  const until = (
    cgroup: string,
    check: Effect.Effect<boolean, Failure>,
    limit: Duration.Duration,
    reason: string
  ): Effect.Effect<void, Failure> =>
    check.pipe(
      Effect.repeat({ schedule: backOff, until: (done) => done }),
      Effect.timeoutOrElse({
        duration: limit,
        orElse: () => Effect.fail(new CgroupError({ cgroup, reason: `${reason} after ${Duration.format(limit)}` }))
      }),
      Effect.asVoid
    )

  const setFrozen = Effect.fnUntraced(function* (cgroup: string, frozen: boolean) {
    const path = yield* directory("freezer", cgroup)
    if (version === 2) {
      yield* files.writeExisting(posix.join(path, "cgroup.freeze"), frozen ? "1" : "0")
      const events = files.readText(posix.join(path, "cgroup.events"))
      const state = Effect.map(events, (text) => (parseKeyed(text, "frozen") === 1n) === frozen)
      return yield* until(cgroup, state, freezeLimit, frozen ? "not frozen" : "not thawed")
    }
    const file = posix.join(path, "freezer.state")
    const wanted = frozen ? "FROZEN" : "THAWED"
    // a task that forks while the kernel freezes can stay in FREEZING for ever: writing again gets hold of it
    const attempt = Effect.andThen(files.writeExisting(file, wanted), files.readText(file))
    const state = Effect.map(attempt, (text) => text.trim() === wanted)
    yield* until(cgroup, state, freezeLimit, frozen ? "not frozen" : "not thawed")
  })

  const freeze = Effect.fn("Cgroups.freeze")((cgroup: string) => setFrozen(cgroup, true))
  const thaw = Effect.fn("Cgroups.thaw")((cgroup: string) => setFrozen(cgroup, false))

  const killByKernel = Effect.fnUntraced(function* (cgroup: string) {
    const path = yield* directory("pids", cgroup)
    yield* files.writeExisting(posix.join(path, "cgroup.kill"), "1")
  })

  /** Frozen processes cannot fork, so one pass reaches them all; the signals take effect when they thaw. */
  const killFrozen = Effect.fnUntraced(
    function* (cgroup: string, kill: KillProcess) {
      yield* Effect.ignore(freeze(cgroup))
      const pids = yield* processes(cgroup)
      yield* Effect.forEach(pids, kill, { discard: true })
    },
    (effect, cgroup) => Effect.ensuring(effect, Effect.ignore(thaw(cgroup)))
  )

  const killOnce = (cgroup: string, kill: KillProcess): Effect.Effect<void, Failure> =>
    version === 2 ? Effect.catch(killByKernel(cgroup), () => killFrozen(cgroup, kill)) : killFrozen(cgroup, kill)

  const killAll = Effect.fn("Cgroups.killAll")(function* (cgroup: string, kill: KillProcess) {
    const attempt = Effect.gen(function* () {
      if ((yield* processes(cgroup)).length === 0) return true
      yield* killOnce(cgroup, kill)
      return (yield* processes(cgroup)).length === 0
    }).pipe(Effect.catch((error) => (isAbsent(error) ? Effect.succeed(true) : Effect.fail(error))))
    yield* until(cgroup, attempt, killLimit, "processes are left")
  })

  const removeBelow: (path: string) => Effect.Effect<void, LinuxError> = Effect.fnUntraced(
    function* (path) {
      yield* Effect.forEach(yield* children(path), removeBelow, { discard: true })
      yield* files.removeDirectory(path)
    },
    (effect) => Effect.catch(effect, (error) => (isAbsent(error) ? Effect.void : Effect.fail(error)))
  )

  const remove = Effect.fn("Cgroups.remove")(function* (cgroup: string) {
    for (const mount of mounts) {
      const path = yield* below(mount, cgroup)
      yield* files.closeKernelTexts(path)
      const attempt = removeBelow(path).pipe(
        Effect.as(true),
        Effect.catch((error) => (error.code === "EBUSY" ? Effect.succeed(false) : Effect.fail(error)))
      )
      yield* until(cgroup, attempt, removeLimit, `still busy in ${mount}`)
    }
  })

  const removeIfEmpty = Effect.fn("Cgroups.removeIfEmpty")(function* (cgroup: string) {
    for (const mount of mounts) {
      const path = yield* below(mount, cgroup)
      yield* files.closeKernelTexts(path)
      yield* files.removeDirectory(path).pipe(
        Effect.catchIf(
          (error) => isAbsent(error) || inUse.has(error.code),
          () => Effect.void
        )
      )
    }
  })

  return {
    ...makeReaders(files, { version, mountOf, below }),
    ...makePlacement(files, hierarchies, below),
    version,
    processes,
    freeze,
    thaw,
    killAll,
    remove,
    removeIfEmpty
  }
}

/** EBUSY: processes, or cgroups below it. */
const inUse: ReadonlySet<string> = new Set(["EBUSY", "ENOTEMPTY"])

/** ENODEV: the kernel's answer for files of a cgroup that was removed while they were open. */
const isAbsent = (error: Failure): boolean =>
  error._tag === "LinuxError" && (error.code === "ENOENT" || error.code === "ENODEV")
