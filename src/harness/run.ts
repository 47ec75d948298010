/** `cricket harness run`: scenarios from a seed until the number or the time is reached. */
import { Clock, Effect } from "effect"
import { VersionRequest } from "../gen/runtime/v1/api.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { writeFailure, writeReport } from "./Artifacts.ts"
import { message } from "./Cri.ts"
import { TargetError } from "./HarnessError.ts"
import type { Invariant, Operation, Services } from "./Operation.ts"
import { chooseOperations, implementedOperations } from "./operations.ts"
import type { Profile } from "./Profile.ts"
import { type Report, rulesOf } from "./Report.ts"
import { makeRunner, type Result, shrink, type ShrinkOptions } from "./Runner.ts"
import { drawScenario, type ScenarioFile, type Step } from "./Scenario.ts"

export interface RunOptions {
  readonly profile: Profile
  /** As it is named on a command line, for the one that replays a violation; its name unless given. */
  readonly profileSource?: string
  readonly operations: ReadonlyArray<Operation>
  readonly invariants?: ReadonlyArray<Invariant>
  /** Groups or names of operations; all when empty. */
  readonly only: ReadonlyArray<string>
  /** Scenario k is drawn from seed + k: a scenario's own seed draws it again as the first. */
  readonly seed: number
  /** Scenarios at most. */
  readonly runs: number
  /** Milliseconds after which no scenario begins. */
  readonly limitMs: number
  /** Steps of a scenario at most. */
  readonly length: number
  /** No scenario ends the daemon: whether it grows with the time shows only where it lives on. */
  readonly keepsDaemon: boolean
  /** Violations after which the run ends. */
  readonly maxFailures: number
  readonly shrink: ShrinkOptions
  /** Gets the report and the folders of violations. */
  readonly output: string
  /** Of the targets. */
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
  /** Scenarios that are run before the drawn ones. */
  readonly first: ReadonlyArray<ScenarioFile>
  readonly write: (text: string) => Effect.Effect<void>
}

interface Tally {
  runs: number
  commands: number
  kills: number
  readonly operations: Record<string, number>
  readonly failures: Array<Report["failures"][number]>
}

const count = (tally: Tally, result: Result) => {
  tally.runs++
  tally.kills += result.kills
  tally.commands += result.log.length
  for (const { label } of result.log) {
    const [name = label] = label.split(" ")
    tally.operations[name] = (tally.operations[name] ?? 0) + 1
  }
}

export const run = Effect.fn("run")(function* (
  options: RunOptions
): Effect.fn.Return<Report, TargetError | LinuxError, Services> {
  return yield* Effect.scoped(runScoped(options))
})

const runScoped = Effect.fnUntraced(function* (options: RunOptions) {
  const { profile, write } = options
  const begun = yield* Clock.currentTimeMillis
  const runner = yield* makeRunner({ ...options, operations: options.operations })
  const { target } = yield* runner.open
  const version = yield* target.cri
    .call("version", message(VersionRequest))
    .pipe(
      Effect.mapError(({ message }) => new TargetError({ target: profile.name, action: "Version", reason: message }))
    )
  const chosen = implementedOperations(chooseOperations(options.operations, options.only), target.implements)
  const unimplemented = [
    ...new Set(options.operations.flatMap(({ needs = [] }) => needs).filter((rpc) => !target.implements(rpc)))
  ]
  const draw = { operations: chosen, length: options.length, canKill: target.canKill && !options.keepsDaemon }
  const tally: Tally = { runs: 0, commands: 0, kills: 0, operations: {}, failures: [] }

  const fail = Effect.fnUntraced(function* (seed: number, first: Result) {
    const { violation } = first
    if (violation === undefined) return
    yield* write(`seed ${seed}: ${violation.message}\n`)
    const directory = `failure-${tally.failures.length + 1}-${seed}`
    const writeDown = Effect.fnUntraced(function* (smallest: Result) {
      const details = smallest.violation?.details ?? violation.details
      const scenario: ScenarioFile = {
        version: 1,
        profile: profile.name,
        seed,
        rule: violation.rule,
        details,
        steps: smallest.steps,
        original: first.steps
      }
      yield* writeFailure(`${options.output}/${directory}`, { scenario, first, smallest })
      return details
    })
    // Whoever loses patience while it is made smaller has it as it was found.
    yield* writeDown(first)
    const smallest = yield* Effect.scoped(
      Effect.gen(function* () {
        const other = yield* makeRunner({ ...options, directory: `${options.directory}/shrink` })
        return yield* shrink(other, first, options.shrink, write)
      })
    )
    const details = yield* writeDown(smallest)
    yield* write(
      `  replay: cricket harness replay ${options.output}/${directory}/scenario.json --profile ${options.profileSource ?? profile.name}\n`
    )
    tally.failures.push({
      rule: violation.rule,
      details,
      seed,
      steps: smallest.steps.length,
      directory
    })
  })

  const one = Effect.fnUntraced(function* (seed: number, steps: ReadonlyArray<Step>) {
    const result = yield* runner.run(steps)
    count(tally, result)
    yield* fail(seed, result)
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - begun) / 1000)
    const state = result.violation === undefined ? "ok" : "VIOLATED"
    yield* write(
      `${state} seed ${seed}: ${result.log.length} commands, ${result.kills} ends; ${tally.commands} and ${tally.kills} in ${seconds} s\n`
    )
  })

  const goesOn = Effect.map(
    Clock.currentTimeMillis,
    (now) => now - begun < options.limitMs && tally.failures.length < options.maxFailures
  )
  const all = Effect.gen(function* () {
    for (const { seed, steps } of options.first) if (yield* goesOn) yield* one(seed, steps)
    for (let number = 0; number < options.runs && (yield* goesOn); number++) {
      const seed = options.seed + number
      yield* one(seed, drawScenario(seed, draw))
    }
  })
  // What was seen is written down also where the target cannot be begun anew.
  const exit = yield* Effect.exit(all)
  yield* runner.close
  const daemon = runner.daemon()
  const report: Report = {
    version: 1,
    profile: profile.name,
    target: `${version.runtimeName} ${version.runtimeVersion}`,
    seed: options.seed,
    runs: tally.runs,
    commands: tally.commands,
    operations: tally.operations,
    kills: tally.kills,
    ...(daemon === undefined ? {} : { daemon }),
    seconds: ((yield* Clock.currentTimeMillis) - begun) / 1000,
    unimplemented,
    rules: rulesOf(runner.judge.counts()),
    failures: tally.failures
  }
  yield* writeReport(options.output, report)
  yield* exit
  return report
})
