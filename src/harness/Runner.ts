/** Scenarios one after the other on one target; a violation is made smaller, written down, and the target begun anew. */
import { Clock, Effect, Exit, Option, Scope } from "effect"
import type { LinuxError } from "../linux/LinuxError.ts"
import { TargetError, Violation } from "./HarnessError.ts"
import { type Entry, execute, type Execution, makeExecution } from "./execute.ts"
import type { DaemonState } from "./HostState.ts"
import { nameOf } from "./internal/requests.ts"
import { type Judge, makeJudge } from "./Judge.ts"
import { makeModel } from "./Model.ts"
import type { Invariant, Operation, Services, Site } from "./Operation.ts"
import type { Profile } from "./Profile.ts"
import type { Step } from "./Scenario.ts"
import { abandon, finish, openSession, type Session } from "./Session.ts"
import { onlyDone, simplify } from "./Shrink.ts"

export interface RunnerOptions {
  readonly profile: Profile
  readonly operations: ReadonlyArray<Operation>
  readonly invariants?: ReadonlyArray<Invariant>
  /** Of the targets that are opened, one after the other. */
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
  /** The profile's unless given. */
  readonly judge?: Judge
  /** After each step waits for what ends by itself. */
  readonly patient?: boolean
}

/** What became of one scenario. */
export interface Result {
  readonly steps: ReadonlyArray<Step>
  readonly done: ReadonlySet<number>
  readonly log: ReadonlyArray<Entry>
  readonly states: Execution["states"]
  readonly broken: Execution["broken"]
  /** Names of objects by the ids that the target gave them. */
  readonly names: ReadonlyMap<string, string>
  readonly kills: number
  readonly violation: Violation | undefined
  /** The target's name for itself. */
  readonly daemonLog: string
}

export interface Runner {
  readonly judge: Judge
  readonly run: (steps: ReadonlyArray<Step>) => Effect.Effect<Result, TargetError | LinuxError, Services>
  /** Opens the target if it is not open: so that its failure is its own. */
  readonly open: Effect.Effect<Session, TargetError | LinuxError, Services>
  /** The daemon's resources before and after the scenarios on the target that is open, or was open last. */
  readonly daemon: () => { readonly before: DaemonState; readonly after: DaemonState } | undefined
  /** Ends the target; the next scenario begins with a new one. */
  readonly close: Effect.Effect<void>
}

/** The target is opened for the first scenario, and again after a violation: what it left must not be the next one's. */
export const makeRunner = Effect.fnUntraced(function* (
  options: RunnerOptions
): Effect.fn.Return<Runner, never, Scope.Scope> {
  const operations = new Map(options.operations.map((operation) => [operation.name, operation]))
  const judge = options.judge ?? makeJudge(options.profile.known)
  let opened: { readonly session: Session; readonly scope: Scope.Closeable } | undefined
  let count = 0
  let last: Session | undefined

  const close = Effect.suspend(() => {
    const { scope } = opened ?? {}
    opened = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })
  yield* Effect.addFinalizer(() => close)

  const open = Effect.gen(function* () {
    if (opened !== undefined) return opened.session
    const scope = yield* Scope.make()
    const session = yield* openSession({
      profile: options.profile,
      directory: `${options.directory}/${++count}`,
      environment: options.environment
    }).pipe(
      Scope.provide(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    opened = { session, scope }
    last = session
    return session
  })

  const run = Effect.fnUntraced(function* (
    steps: ReadonlyArray<Step>
  ): Effect.fn.Return<Result, TargetError | LinuxError, Services> {
    const session = yield* open
    judge.begin()
    const execution = makeExecution()
    const prefix = (yield* Clock.currentTimeMillis).toString(36)
    const site: Site = {
      target: session.target,
      model: makeModel(prefix),
      judge,
      patient: options.patient === true,
      invariants: options.invariants ?? []
    }
    const violation = yield* execute(site, operations, steps, execution).pipe(
      Effect.andThen(finish(session, site)),
      Effect.as(undefined),
      Effect.catchTags({
        Violation: (violation) => Effect.succeed(violation),
        // A read that the harness makes for itself is as good as one that a scenario asks for.
        RpcFailure: ({ message }) => Effect.succeed(new Violation({ rule: "read.known", details: message }))
      })
    )
    const { log: daemonLog } = session.target
    if (violation !== undefined) {
      if (Option.isNone(session.target.holder)) yield* abandon(site)
      yield* close
    }
    const objects = [...site.model.pods, ...site.model.containers]
    const names = new Map(objects.flatMap((object) => (object.id === "" ? [] : [[object.id, nameOf(object)]])))
    return { steps, ...execution, names, violation, daemonLog }
  })

  const daemon = () => {
    const [before, after] = [last?.baseline.daemon, last?.daemon]
    return before === undefined || after === undefined ? undefined : { before, after }
  }
  return { judge, run, open, daemon, close }
})

export interface ShrinkOptions {
  /** Scenarios that are tried at most. */
  readonly attempts: number
  /** Runs of one scenario until it is taken for one that holds: what needs a certain timing does not fail each time. */
  readonly repeat: number
  /** Milliseconds. */
  readonly limitMs: number
}

/** The smallest scenario found that breaks the same rule. */
export const shrink = Effect.fn("shrink")(function* (
  runner: Runner,
  failed: Result,
  options: ShrinkOptions,
  progress: (text: string) => Effect.Effect<void>
): Effect.fn.Return<Result, TargetError | LinuxError, Services> {
  const rule = failed.violation?.rule
  const until = (yield* Clock.currentTimeMillis) + options.limitMs
  let attempts = 0
  let smallest: Result = { ...failed, steps: onlyDone(failed.steps, failed.done), done: new Set(failed.steps.keys()) }
  const breaksStill = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
    for (let time = 0; time < options.repeat; time++) {
      attempts++
      const result = yield* runner.run(steps)
      if (result.violation?.rule === rule) return result
    }
    return undefined
  })
  // Steps that had no object are gone: if it does not break without them, they are taken back.
  const first = yield* breaksStill(smallest.steps)
  if (first === undefined) return failed
  smallest = first
  const goesOn = Effect.map(Clock.currentTimeMillis, (now) => attempts < options.attempts && now <= until)
  const attempt = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
    const result = yield* breaksStill(steps)
    if (result === undefined) return undefined
    smallest = { ...result, steps: onlyDone(result.steps, result.done) }
    yield* progress(`  ${smallest.steps.length} steps after ${attempts} attempts\n`)
    return smallest.steps
  })
  yield* simplify(smallest.steps, attempt, goesOn)
  return smallest
})
