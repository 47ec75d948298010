/**
 * A scenario is data: steps that name operations with their parameters. Drawn by fast-check's arbitraries from a seed, kept
 * as JSON, made smaller by ShrinkScenario. An object is named by a number that picks among those that live, so a step
 * keeps a meaning when steps before it are left out.
 */
import * as fc from "fast-check"
import { Result, Schema } from "effect"
import { InvalidInput } from "./HarnessError.ts"
import type { Operation } from "./Operation.ts"

export const Call = Schema.Struct({
  operation: Schema.String,
  parameters: Schema.Record(Schema.String, Schema.Union([Schema.Finite, Schema.String, Schema.Boolean]))
})
export type Call = typeof Call.Type

export const Step = Schema.Struct({
  /** At the same time, when there are several. */
  calls: Schema.Array(Call),
  /** The first one is made twice at the same time. */
  twin: Schema.optionalKey(Schema.Boolean),
  /** What happens while they run: the client gives them up, or the daemon is ended and started again. */
  interruption: Schema.optionalKey(
    Schema.Struct({ kind: Schema.Literals(["cancel", "kill", "terminate"]), afterMs: Schema.Finite })
  )
})
export type Step = typeof Step.Type

export const ScenarioFile = Schema.Struct({
  version: Schema.Literal(1),
  /** The profile in which it was found; it can be replayed in others. */
  profile: Schema.String,
  seed: Schema.Finite,
  /** What it broke, when it was written because it broke something. */
  rule: Schema.optionalKey(Schema.String),
  details: Schema.optionalKey(Schema.String),
  /** What the fault was, once somebody knows. */
  note: Schema.optionalKey(Schema.String),
  steps: Schema.Array(Step),
  /** Before it was made smaller. */
  original: Schema.optionalKey(Schema.Array(Step))
})
export type ScenarioFile = typeof ScenarioFile.Type

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(ScenarioFile))

export const decodeScenario = (source: string, text: string): Result.Result<ScenarioFile, InvalidInput> =>
  Result.mapError(decode(text), ({ message }) => new InvalidInput({ source, problems: message.split("\n") }))

export interface DrawOptions {
  readonly operations: ReadonlyArray<Operation>
  /** Steps of a scenario at most. */
  readonly length: number
  readonly canKill: boolean
}

const callOf = (operation: Operation): fc.Arbitrary<Call> =>
  operation.parameters.map((parameters) => ({ operation: operation.name, parameters }))

const anyOf = (operations: ReadonlyArray<Operation>): fc.Arbitrary<Call> =>
  fc.oneof(...operations.map((operation) => ({ weight: operation.weight, arbitrary: callOf(operation) })))

/** Without these nothing else has an object. */
const essential = new Set(["RunPod", "Create", "Start"])

const stepOf = (operations: ReadonlyArray<Operation>, canKill: boolean): fc.Arbitrary<Step> => {
  const any = anyOf(operations)
  const sociable = operations.filter(({ alone }) => alone !== true)
  const together = anyOf(sociable.length > 0 ? sociable : operations)
  const delay = fc.integer({ min: 0, max: 250 })
  const single = any.map((call): Step => ({ calls: [call] }))
  const several = fc.array(together, { minLength: 2, maxLength: 4, size: "max" }).map((calls): Step => ({ calls }))
  const twin = together.map((call): Step => ({ calls: [call], twin: true }))
  const cancelled = fc
    .tuple(together, delay)
    .map(([call, afterMs]): Step => ({ calls: [call], interruption: { kind: "cancel", afterMs } }))
  const ended = fc
    .tuple(
      fc.array(together, { minLength: 0, maxLength: 3, size: "max" }),
      delay,
      fc.constantFrom("kill", "kill", "kill", "terminate" as const)
    )
    .map(([calls, afterMs, kind]): Step => ({ calls, interruption: { kind: kind as "kill" | "terminate", afterMs } }))
  return fc.oneof(
    { weight: 62, arbitrary: single },
    { weight: 13, arbitrary: several },
    { weight: 9, arbitrary: twin },
    { weight: 7, arbitrary: cancelled },
    ...(canKill ? [{ weight: 9, arbitrary: ended }] : [])
  )
}

/** Swarm testing: each scenario leaves out some operations, so that others come in deeper sequences. */
const scenarios = ({ operations, length, canKill }: DrawOptions): fc.Arbitrary<ReadonlyArray<Step>> => {
  const optional = operations.filter(({ name }) => !essential.has(name))
  const needed = operations.filter(({ name }) => essential.has(name))
  return fc
    .tuple(
      fc.array(fc.boolean(), { minLength: optional.length, maxLength: optional.length, size: "max" }),
      fc.boolean()
    )
    .chain(([kept, all]) => {
      const chosen = [...needed, ...optional.filter((_, index) => all || kept[index] === true)]
      // What comes later has an object from the first step on.
      const begin = needed.map((operation) => callOf(operation).map((call): Step => ({ calls: [call] })))
      const rest = fc.array(stepOf(chosen.length > 0 ? chosen : operations, canKill), {
        minLength: Math.min(length, 8),
        maxLength: length,
        size: "max"
      })
      return fc.tuple(fc.tuple(...begin), rest).map(([first, steps]) => [...first, ...steps])
    })
}

/** The same steps for the same seed, operations and length. */
export const drawScenario = (seed: number, options: DrawOptions): ReadonlyArray<Step> =>
  fc.sample(fc.noBias(scenarios(options)), { seed, numRuns: 1 })[0] ?? []
