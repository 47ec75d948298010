/** `cricket harness …`: loaded only when it is called. */
import { Clock, Effect, Layer, Logger } from "effect"
import { Files } from "../linux/Files.ts"
import { Processes } from "../linux/Processes.ts"
import { Sockets } from "../linux/Sockets.ts"
import { writeStandardError, writeStandardOutput } from "../linux/standardStreams.ts"
import { type HarnessCommand, parseHarnessArguments, type RunArguments, usage } from "./arguments.ts"
import { logText, writeFailure, writeReport } from "./Artifacts.ts"
import { compare, describeDisagreements } from "./compare.ts"
import { InvalidInput } from "./HarnessError.ts"
import type { Invariant, Operation, Services } from "./Operation.ts"
import { allOperations } from "./operations.ts"
import { decodeProfile, type Profile } from "./Profile.ts"
import { builtInProfiles } from "./profiles.ts"
import { decodeReport, toSummary } from "./Report.ts"
import { run } from "./run.ts"
import { makeRunner } from "./Runner.ts"
import { decodeScenario, type ScenarioFile } from "./Scenario.ts"

export interface HarnessProgram {
  /** After `harness`. */
  readonly arguments: ReadonlyArray<string>
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Ends the run in order: what was started is ended. */
  readonly signal: AbortSignal
  /** The built-in ones unless given: a project puts its own beside them. */
  readonly operations?: ReadonlyArray<Operation>
  readonly invariants?: ReadonlyArray<Invariant>
}

/** What all of the harness stands on: this machine. */
export const services: Layer.Layer<Services> = Layer.mergeAll(Files.layer, Processes.layer, Sockets.layer)

/** Of whoever has called the program. */
interface Caller {
  readonly environment: Readonly<Record<string, string>>
  readonly operations: ReadonlyArray<Operation>
  readonly invariants: ReadonlyArray<Invariant>
}

const whyUnread: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a directory",
  EACCES: "it may not be read"
}

const readText = Effect.fnUntraced(function* (path: string, otherwise = "") {
  return yield* (yield* Files)
    .readText(path)
    .pipe(
      Effect.mapError(
        ({ code }) => new InvalidInput({ source: path, problems: [`${whyUnread[code] ?? code}${otherwise}`] })
      )
    )
})

const readJson = Effect.fnUntraced(function* (path: string, otherwise: string) {
  const text = yield* readText(path, otherwise)
  return yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) => new InvalidInput({ source: path, problems: [`no JSON: ${String(cause)}`] })
  })
})

const loadProfile = Effect.fnUntraced(function* (name: string, endpoint?: string) {
  const isBuiltIn = Object.hasOwn(builtInProfiles, name)
  const otherwise = `, and no profile of that name: there are ${Object.keys(builtInProfiles).join(", ")}`
  const json = isBuiltIn ? { extends: name } : yield* readJson(name, otherwise)
  const profile = yield* Effect.fromResult(decodeProfile(name, json))
  return endpoint === undefined ? profile : { ...profile, endpoint }
})

const loadScenario = Effect.fnUntraced(function* (path: string) {
  return yield* Effect.fromResult(decodeScenario(path, yield* readText(path)))
})

/** A file, or the .json files of a directory. */
const loadScenarios = Effect.fnUntraced(function* (path: string | undefined) {
  if (path === undefined) return []
  const files = yield* Files
  const isDirectory = yield* files.stat(path).pipe(
    Effect.map(({ kind }) => kind === "directory"),
    Effect.orElseSucceed(() => false)
  )
  if (!isDirectory) return [yield* loadScenario(path)]
  const names = (yield* files.readDirectory(path)).filter((name) => name.endsWith(".json"))
  return yield* Effect.forEach(names, (name) => loadScenario(`${path}/${name}`))
})

const definedOnly = (environment: HarnessProgram["environment"]): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(environment).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])))

/** For the targets; gone when the harness ends. */
const workDirectory = Effect.acquireRelease(
  Effect.gen(function* () {
    const path = `/tmp/cricket-harness-${(yield* Clock.currentTimeMillis).toString(36)}`
    yield* (yield* Files).makeDirectory(path, { mode: 0o755 })
    return path
  }),
  (path) => Effect.flatMap(Files, (files) => Effect.ignore(files.removeTree(path)))
)

const seedOf = ({ seed }: RunArguments) =>
  seed === undefined ? Effect.map(Clock.currentTimeMillis, (now) => now % 1_000_000) : Effect.succeed(seed)

const checkOnly = Effect.fnUntraced(function* (only: ReadonlyArray<string>, operations: ReadonlyArray<Operation>) {
  const groups = new Set(operations.map(({ group }): string => group))
  const unknown = only.filter((word) => !groups.has(word) && !operations.some(({ name }) => name === word))
  if (unknown.length === 0) return
  const problems = unknown.map((word) => `there is no group and no operation ${JSON.stringify(word)}`)
  const there = `groups are ${[...groups].join(", ")}; operations ${operations.map(({ name }) => name).join(", ")}`
  return yield* new InvalidInput({ source: "--only", problems: [...problems, there] })
})

const runCommand = Effect.fnUntraced(function* (
  command: RunArguments,
  { environment, operations, invariants }: Caller
) {
  const profile: Profile = yield* loadProfile(command.profile, command.endpoint)
  yield* checkOnly(command.only, operations)
  const first: ReadonlyArray<ScenarioFile> = yield* loadScenarios(command.first)
  const seed = yield* seedOf(command)
  const directory = yield* workDirectory
  yield* (yield* Files).makeDirectory(command.out, { recursive: true })
  const report = yield* run({
    profile,
    profileSource: command.profile,
    operations,
    invariants,
    only: command.only,
    seed,
    runs: command.runs,
    limitMs: command.limitMs,
    length: command.length,
    maxFailures: command.maxFailures,
    keepsDaemon: command.keepsDaemon,
    shrink: { attempts: command.attempts, repeat: command.repeat, limitMs: command.limitMs },
    output: command.out,
    directory,
    environment,
    first,
    write: command.json ? () => Effect.void : writeStandardError
  })
  yield* writeStandardOutput(command.json ? `${JSON.stringify(report, null, 2)}\n` : toSummary(report))
  return report.failures.length === 0 ? 0 : 1
}, Effect.scoped)

const replayCommand = Effect.fnUntraced(function* (
  command: Extract<HarnessCommand, { readonly _tag: "Replay" }>,
  { environment, operations, invariants }: Caller
) {
  const scenario = yield* loadScenario(command.file)
  // Where it was found, if that can be known by its name.
  const found = Object.hasOwn(builtInProfiles, scenario.profile) ? scenario.profile : "cricket"
  const profile = yield* loadProfile(command.profile ?? found, command.endpoint)
  const steps = command.original ? (scenario.original ?? scenario.steps) : scenario.steps
  const directory = yield* workDirectory
  const runner = yield* makeRunner({ profile, operations, invariants, directory, environment })
  for (let time = 1; time <= command.repeat; time++) {
    const result = yield* runner.run(steps)
    yield* writeStandardOutput(logText(result.log))
    if (result.violation !== undefined) {
      yield* writeStandardOutput(`run ${time} of ${command.repeat}: VIOLATED ${result.violation.message}\n`)
      if (command.out !== undefined) {
        yield* writeFailure(command.out, { scenario, first: result, smallest: result })
      }
      return 1
    }
    yield* writeStandardOutput(`run ${time} of ${command.repeat}: no violation\n`)
  }
  return 0
}, Effect.scoped)

const compareCommand = Effect.fnUntraced(function* (
  command: Extract<HarnessCommand, { readonly _tag: "Diff" }>,
  { environment, operations }: Caller
) {
  yield* checkOnly(command.only, operations)
  const profiles = [yield* loadProfile(command.profile), yield* loadProfile(command.against)] as const
  const found = yield* compare({
    ...command,
    profiles,
    operations,
    seed: yield* seedOf(command),
    directory: yield* workDirectory,
    environment,
    write: command.json ? () => Effect.void : writeStandardError
  })
  yield* writeStandardOutput(
    command.json ? `${JSON.stringify(found, null, 2)}\n` : describeDisagreements(profiles, found)
  )
  return found.length === 0 ? 0 : 1
}, Effect.scoped)

const reportCommand = Effect.fnUntraced(function* (directory: string) {
  const path = `${directory}/report.json`
  const report = yield* Effect.fromResult(decodeReport(path, yield* readText(path)))
  yield* writeReport(directory, report)
  yield* writeStandardOutput(toSummary(report))
  return report.failures.length === 0 ? 0 : 1
})

const dispatch = Effect.fnUntraced(function* (
  program: HarnessProgram
): Effect.fn.Return<number, { readonly message: string }, Services> {
  const command = yield* Effect.fromResult(parseHarnessArguments(program.arguments))
  const caller: Caller = {
    environment: definedOnly(program.environment),
    operations: program.operations ?? allOperations,
    invariants: program.invariants ?? []
  }
  switch (command._tag) {
    case "Help":
      yield* writeStandardOutput(usage)
      return 0
    case "Run":
      return yield* runCommand(command, caller)
    case "Diff":
      return yield* compareCommand(command, caller)
    case "Replay":
      return yield* replayCommand(command, caller)
    case "Report":
      return yield* reportCommand(command.directory)
  }
})

const unusable = 2

/** Answers the exit code. */
export const runHarness = (program: HarnessProgram): Promise<number> =>
  dispatch(program).pipe(
    Effect.catch(({ message }) => Effect.as(writeStandardError(`cricket: ${message}\n`), unusable)),
    Effect.provide(Layer.merge(services, Logger.layer([]))),
    (self) => Effect.runPromise(self, { signal: program.signal })
  )
