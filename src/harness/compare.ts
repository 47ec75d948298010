/** `cricket harness diff`: the same requests, one after the other, on two targets; what they answer and show is compared. */
import { Clock, Effect } from "effect"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { TargetError } from "./HarnessError.ts"
import type { Entry } from "./execute.ts"
import { onlooker } from "./Judge.ts"
import { normalise } from "./Normalise.ts"
import type { Operation, Services } from "./Operation.ts"
import { chooseOperations, implementedOperations } from "./operations.ts"
import type { Profile } from "./Profile.ts"
import { makeRunner, type Result } from "./Runner.ts"
import { drawScenario, type Step } from "./Scenario.ts"

export interface CompareOptions {
  readonly profiles: readonly [Profile, Profile]
  readonly operations: ReadonlyArray<Operation>
  readonly only: ReadonlyArray<string>
  readonly seed: number
  readonly runs: number
  /** Milliseconds after which no scenario begins. */
  readonly limitMs: number
  readonly length: number
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
  readonly write: (text: string) => Effect.Effect<void>
}

/** The first difference of a scenario; what follows it may be its consequence. */
export interface Disagreement {
  readonly seed: number
  readonly step: number
  readonly label: string
  /** What each of the two says. */
  readonly says: readonly [string, string]
}

/** One request at a time: at the same time the order would be each target's own. */
export const oneByOne = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> =>
  steps.flatMap(({ calls }) => calls.map((call): Step => ({ calls: [call] })))

const answerOf = ({ outcome }: Entry, names: Result["names"]): string => {
  switch (outcome._tag) {
    case "Answered":
      return outcome.value === undefined ? "ok" : `ok ${JSON.stringify(normalise(outcome.value, names))}`
    case "Failed":
      return `fails with ${outcome.code}`
    case "Unknown":
      return "no answer"
  }
}

/** A read of a node, or of what differs by nature from target to target. */
const incomparable = /^(?:Version|ListContainerStats|PullImage|ImageStatus|RemoveImage)\b/

const entriesOf = ({ log, names, states }: Result) =>
  log.map((entry) => ({
    step: entry.step,
    label: entry.label,
    answer: incomparable.test(entry.label) ? entry.outcome._tag : answerOf(entry, names),
    states: (states.get(entry.step) ?? []).toSorted().join("; ")
  }))

/** The first entry in which two runs of one scenario differ. */
export const firstDisagreement = (seed: number, one: Result, other: Result): Disagreement | undefined => {
  const left = entriesOf(one)
  const right = entriesOf(other)
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const [a, b] = [left[index], right[index]]
    const { step, label } = a ?? b ?? { step: 0, label: "" }
    if (a === undefined || b === undefined || a.label !== b.label) {
      return { seed, step, label, says: [a?.label ?? "nothing to ask", b?.label ?? "nothing to ask"] }
    }
    if (a.answer !== b.answer) return { seed, step, label, says: [a.answer, b.answer] }
    if (a.states !== b.states) return { seed, step, label, says: [`shows ${a.states}`, `shows ${b.states}`] }
  }
  return undefined
}

/** The same for differences of one kind: numbers are left out. */
const kindOf = ({ label, says }: Disagreement): string => [label, ...says].join("\n").replaceAll(/\d+/g, "#")

/** One disagreement of each kind, with how often it was seen. */
export const compare = Effect.fn("compare")(function* (
  options: CompareOptions
): Effect.fn.Return<ReadonlyArray<Disagreement & { readonly count: number }>, TargetError | LinuxError, Services> {
  return yield* Effect.scoped(comparing(options))
})

const comparing = Effect.fnUntraced(function* (options: CompareOptions) {
  const begun = yield* Clock.currentTimeMillis
  const [one, other] = options.profiles
  const shared = { operations: options.operations, environment: options.environment, judge: onlooker }
  const left = yield* makeRunner({ ...shared, profile: one, directory: `${options.directory}/one` })
  const right = yield* makeRunner({ ...shared, profile: other, directory: `${options.directory}/other` })
  const targets = [(yield* left.open).target, (yield* right.open).target]
  const operations = implementedOperations(chooseOperations(options.operations, options.only), (rpc) =>
    targets.every((target) => target.implements(rpc))
  )
  const found = new Map<string, Disagreement & { readonly count: number }>()
  for (let number = 0; number < options.runs; number++) {
    if ((yield* Clock.currentTimeMillis) - begun >= options.limitMs) break
    const seed = options.seed + number
    const steps = oneByOne(drawScenario(seed, { operations, length: options.length, canKill: false }))
    const disagreement = firstDisagreement(seed, yield* left.run(steps), yield* right.run(steps))
    yield* options.write(
      `seed ${seed}: ${disagreement === undefined ? "agreed" : `differs at ${disagreement.label}`}\n`
    )
    if (disagreement === undefined) continue
    const kind = kindOf(disagreement)
    const known = found.get(kind)
    found.set(kind, { ...disagreement, ...known, count: (known?.count ?? 0) + 1 })
  }
  return [...found.values()]
})
