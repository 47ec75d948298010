/** The runtime under test: its namespaces, its daemon, its socket, and the files and processes that are its own. */
import { Clock, Effect, Option, Scope } from "effect"
import { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { Processes, type ProcessIdentity, type ProcessInfo } from "../linux/Processes.ts"
import { connect, type Cri, message } from "./Cri.ts"
import {
  StatusRequest,
  UpdateContainerResourcesRequest,
  UpdatePodSandboxResourcesRequest,
  VersionRequest
} from "../gen/runtime/v1/api.ts"
import { TargetError } from "./HarnessError.ts"
import { childOf, type Holder, openHolder, pinnedNetwork } from "./internal/holder.ts"
import { removeCgroups } from "./internal/ownCgroups.ts"
import { makePaths } from "./internal/hostPaths.ts"
import { inDirectory, type Profile } from "./Profile.ts"
import { SIGKILL, SIGTERM } from "../model/Signal.ts"

export interface TargetOptions {
  readonly profile: Profile
  /** Of this target alone; made when it is not there. */
  readonly directory: string
  /** Of every process that is started. */
  readonly environment: Readonly<Record<string, string>>
}

/** How a daemon ended that was told to. */
export type Ending = "kill" | "terminate"

export interface Target {
  /** With `${dir}` filled in. */
  readonly profile: Profile
  readonly directory: string
  readonly cri: Cri
  /** When it was opened, milliseconds since the epoch: for names that no other run has. */
  readonly started: number
  /** The daemon's log, or "" where the harness has not started it. */
  readonly log: string
  /** The daemon's process; none for a target of which only the socket is known. */
  readonly daemon: Effect.Effect<Option.Option<ProcessIdentity>, LinuxError>
  /** Process 1 of the private namespaces, if there are any. */
  readonly holder: Option.Option<ProcessIdentity>
  /** The pinned network namespace; undefined where the target has this process's. */
  readonly network: string | undefined
  /** Where the target's path is seen from here. */
  readonly seen: (path: string) => string
  readonly canKill: boolean
  /** False once a daemon that the harness has started has ended by itself. */
  readonly isAlive: Effect.Effect<boolean, LinuxError>
  /** Ends the daemon and waits for it. SIGTERM has ten seconds. */
  readonly end: (how: Ending) => Effect.Effect<{ readonly inTime: boolean }, TargetError | LinuxError>
  /** Starts the daemon and waits until it is Ready. */
  readonly start: Effect.Effect<void, TargetError | LinuxError>
  /** True while no RPC of that name has answered Unimplemented at the first look. */
  readonly implements: (rpc: string) => boolean
  /** Runs a program in the target's namespaces; answers its standard output. */
  readonly run: (argv: ReadonlyArray<string>) => Effect.Effect<string, TargetError | LinuxError>
}

interface Daemon {
  readonly wrapper: ProcessIdentity
  readonly process: ProcessIdentity
}

const startPauseMs = 20

const shell = (script: string, ...args: ReadonlyArray<string>) => ["-c", script, "sh", ...args]

const socketOf = (endpoint: string) => endpoint.replace(/^unix:\/\//, "")

/** Ready is what kubelet waits for: both conditions. */
const isReady = (cri: Cri) =>
  cri.call("status", message(StatusRequest), { deadlineMs: 1000 }).pipe(
    Effect.map(({ status }) => (status?.conditions ?? []).filter((condition) => condition.status).length >= 2),
    Effect.orElseSucceed(() => false)
  )

/** RPCs that a runtime may lack: asked for something that is not there, they say so. */
const optionalRpcs = (
  cri: Cri
): ReadonlyArray<readonly [string, Effect.Effect<unknown, { readonly code: string }>]> => {
  const containerId = "0".repeat(64)
  return [
    [
      "updateContainerResources",
      cri.call("updateContainerResources", message(UpdateContainerResourcesRequest, { containerId }))
    ],
    ["exec", cri.call("exec", { containerId, cmd: ["true"], tty: false, stdin: false, stdout: true, stderr: true })],
    ["attach", cri.call("attach", { containerId, tty: false, stdin: false, stdout: true, stderr: true })],
    ["portForward", cri.call("portForward", { podSandboxId: containerId, port: [80] })],
    [
      "updatePodSandboxResources",
      cri.call("updatePodSandboxResources", message(UpdatePodSandboxResourcesRequest, { podSandboxId: containerId }))
    ],
    ["runtimeConfig", cri.call("runtimeConfig", {})],
    ["containerStats", cri.call("containerStats", { containerId })],
    ["podSandboxStats", cri.call("podSandboxStats", { podSandboxId: containerId })],
    ["listPodSandboxStats", cri.call("listPodSandboxStats", { filter: undefined })],
    ["listMetricDescriptors", cri.call("listMetricDescriptors", {})],
    ["listPodSandboxMetrics", cri.call("listPodSandboxMetrics", {})],
    ["getContainerEvents", cri.stream("getContainerEvents", {}, () => {}).pipe(Effect.timeoutOption(200))],
    ["streamPodSandboxes", cri.stream("streamPodSandboxes", { filter: undefined }, () => {})],
    ["streamContainers", cri.stream("streamContainers", { filter: undefined }, () => {})]
  ]
}

const firstAnswerMs = 5000

/** One that runs already: that it is not there, is no runtime, or is not ready is said at once. */
const checkRunning = Effect.fnUntraced(function* (cri: Cri, { name, endpoint }: Profile) {
  const failed = (reason: string) => new TargetError({ target: name, action: `ask ${endpoint}`, reason })
  const isThere = (code: string) =>
    code === "UNIMPLEMENTED" ? "it is no CRI v1 runtime" : "is the runtime running, and is this its socket?"
  yield* cri
    .call("version", message(VersionRequest), { deadlineMs: firstAnswerMs })
    .pipe(Effect.mapError((failure) => failed(`${failure.message} (${isThere(failure.code)})`)))
  const { status } = yield* cri
    .call("status", message(StatusRequest), { deadlineMs: firstAnswerMs })
    .pipe(Effect.mapError((failure) => failed(failure.message)))
  const conditions = status?.conditions ?? []
  const missing = ["RuntimeReady", "NetworkReady"].filter(
    (wanted) => !conditions.some(({ type, status }) => type === wanted && status)
  )
  if (missing.length === 0) return
  const said = conditions.filter(({ status }) => !status).map(({ type, message }) => `${type}: ${message}`)
  return yield* failed(`it is not ready: ${said.length === 0 ? `no ${missing.join(", no ")}` : said.join("; ")}`)
})

const missingRpcs = Effect.fnUntraced(function* (cri: Cri) {
  const missing = new Set<string>()
  for (const [name, ask] of optionalRpcs(cri)) {
    const failed = yield* Effect.match(ask, { onFailure: ({ code }) => code, onSuccess: () => "" })
    if (failed === "UNIMPLEMENTED") missing.add(name)
  }
  return missing
})

/**
 * Opens a target for the life of the scope: with private namespaces everything in them ends with it, whatever it is.
 */
export const openTarget = Effect.fn("openTarget")(function* (
  options: TargetOptions
): Effect.fn.Return<Target, TargetError | LinuxError, Files | Processes | Scope.Scope> {
  const files = yield* Files
  const processes = yield* Processes
  const state = `${options.directory}/state`
  const started = yield* Clock.currentTimeMillis
  const filled = inDirectory(options.profile, state)
  // Cgroups are not part of the namespaces: another run must not meet these.
  const isPrivate = filled.namespaces === "private"
  const profile = isPrivate ? { ...filled, cgroupParent: `${filled.cgroupParent}-${started.toString(36)}` } : filled
  if (isPrivate) {
    yield* Effect.addFinalizer(() =>
      removeCgroups(profile.cgroupParent).pipe(Effect.provideService(Files, files), Effect.ignore)
    )
  }
  const failed = (action: string) => (reason: string) => new TargetError({ target: profile.name, action, reason })
  yield* files.makeDirectory(state, { recursive: true })

  const holder: Option.Option<Holder> =
    profile.namespaces === "private"
      ? Option.some(yield* openHolder({ profile, state, directory: options.directory, env: options.environment }))
      : Option.none()
  const seen = makePaths(Option.map(holder, ({ process }) => process))
  const log = profile.start === undefined ? "" : `${options.directory}/daemon.log`

  /** argv as seen from here: through nsenter where the target has namespaces of its own. */
  const inside = (argv: ReadonlyArray<string>): ReadonlyArray<string> =>
    Option.match(holder, {
      onNone: () => argv,
      onSome: ({ process }) => [
        "nsenter",
        `--target=${process.pid}`,
        "--mount",
        "--net",
        "--ipc",
        "--pid",
        "--wd=/",
        "--",
        ...argv
      ]
    })

  const run = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
    const result = yield* processes.run({
      path: "/bin/sh",
      args: shell('exec "$@"', ...inside(argv)),
      env: { ...options.environment, ...profile.environment },
      maxOutput: 16 << 20
    })
    if (result.code === 0) return Buffer.from(result.stdout).toString("utf8")
    return yield* failed(argv.join(" "))(
      `ended with ${result.code ?? `signal ${result.signal}`}: ${Buffer.from(result.stderr).toString("utf8").trim()}`
    )
  })

  /** Its output goes to a file of the host's, also after the harness has ended. */
  const spawn = Effect.fnUntraced(function* (argv: ReadonlyArray<string>, output: string) {
    return yield* processes.spawn({
      path: "/bin/sh",
      args: shell('log=$1; shift; exec "$@" >>"$log" 2>&1', output, ...inside(argv)),
      env: { ...options.environment, ...profile.environment },
      fds: ["null", "null", "null"],
      newSession: true
    })
  })

  for (const [path, text] of Object.entries(profile.files)) {
    const place = seen(path)
    yield* files.makeDirectory(place.slice(0, place.lastIndexOf("/")), { recursive: true })
    yield* Effect.scoped(
      Effect.flatMap(files.open(place, "truncate", 0o644), (file) => file.write(new TextEncoder().encode(text)))
    )
  }
  for (const [index, service] of profile.services.entries()) {
    yield* spawn(service, `${options.directory}/service-${index}.log`)
  }

  const runtimeSocket = socketOf(profile.endpoint)
  const imageSocket = socketOf(profile.imageEndpoint ?? profile.endpoint)
  const cri = yield* connect({
    runtime: seen(runtimeSocket),
    image: seen(imageSocket),
    defaultDeadlineMs: profile.limits.rpc * 1000
  })

  let current: Daemon | undefined

  const start = Effect.gen(function* () {
    const { start: argv } = profile
    if (argv === undefined) return yield* checkRunning(cri, profile)
    const child = yield* spawn(argv, log)
    let ended = false
    yield* child.exit.pipe(
      Effect.andThen(Effect.sync(() => void (ended = true))),
      Effect.forkScoped({ startImmediately: true })
    )
    for (let waited = 0; waited < profile.limits.start * 1000; waited += startPauseMs) {
      if (ended) return yield* failed("start")(`${argv.join(" ")} ended; its log is ${log}`)
      if (current === undefined) {
        const process = Option.isSome(holder) ? yield* childOf(child.identity) : Option.some(child.identity)
        if (Option.isSome(process)) current = { wrapper: child.identity, process: process.value }
      }
      if (current !== undefined && (yield* isReady(cri))) return
      yield* Effect.sleep(startPauseMs)
    }
    return yield* failed("start")(`not ready after ${profile.limits.start} s; its log is ${log}`)
  })

  const end = Effect.fnUntraced(function* (how: Ending) {
    if (current === undefined) return yield* failed("end")("its profile has no start")
    const { process, wrapper } = current
    yield* processes.signal(process, how === "kill" ? SIGKILL : SIGTERM)
    const inTime = yield* processes.awaitEnd(process).pipe(Effect.timeoutOption("10 seconds"))
    if (Option.isNone(inTime)) yield* processes.signal(process, SIGKILL)
    yield* processes.awaitEnd(process)
    yield* processes.awaitEnd(wrapper)
    current = undefined
    return { inTime: Option.isSome(inTime) }
  })

  const daemon: Target["daemon"] = Effect.gen(function* () {
    if (current !== undefined) return Option.some<ProcessIdentity>(current.process)
    if (profile.start !== undefined || profile.pidFile === undefined) return Option.none()
    const pid = Number(yield* files.readText(profile.pidFile))
    return yield* Effect.map(
      processes.find(pid),
      Option.map(({ pid, startTime }: ProcessInfo): ProcessIdentity => ({ pid, startTime }))
    )
  })

  const scope = yield* Effect.scope
  const startHere = start.pipe(Effect.provideService(Processes, processes), Scope.provide(scope))
  yield* startHere
  const version = yield* cri
    .call("version", message(VersionRequest))
    .pipe(Effect.mapError(({ message }) => failed("ask for its version")(message)))
  yield* Effect.logDebug(`${version.runtimeName} ${version.runtimeVersion}`)
  if (profile.afterStart !== "") yield* run(["sh", "-ec", profile.afterStart])
  const missing = yield* missingRpcs(cri)

  return {
    profile,
    directory: options.directory,
    cri,
    started,
    log,
    daemon,
    holder: Option.map(holder, ({ process }) => process),
    network: Option.isSome(holder) ? seen(pinnedNetwork(options.directory)) : undefined,
    seen,
    canKill: profile.start !== undefined,
    isAlive: Effect.suspend(() =>
      current === undefined ? Effect.succeed(false) : Effect.map(processes.find(current.process.pid), Option.isSome)
    ),
    end,
    start: startHere,
    implements: (rpc) => !missing.has(rpc),
    run
  }
})
