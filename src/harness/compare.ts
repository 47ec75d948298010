/** `cricket harness diff`: the same requests, one after the other, on two targets; what they answer and show is compared. */
import { Clock, Effect } from "effect"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { TargetError } from "./HarnessError.ts"
import type { Entry } from "./execute.ts"
import { makeOnlooker } from "./Judge.ts"
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

export interface Disagreement {
  readonly seed: number
  /** -1 for the end of the scenario. */
  readonly step: number
  readonly label: string
  /** What each of the two says. */
  readonly says: readonly [string, string]
  /** Rules that one of the two breaks with it, and the other does not. */
  readonly rules: ReadonlyArray<string>
}

/** One request at a time: at the same time the order would be each target's own. */
export const oneByOne = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> =>
  steps.flatMap(({ calls }) => calls.map((call): Step => ({ calls: [call] })))

const answerOf = ({ outcome, compared }: Entry, names: Result["names"]): string => {
  switch (outcome._tag) {
    case "Answered":
      return compared === undefined ? "ok" : `ok ${JSON.stringify(normalise(compared, names))}`
    case "Failed":
      return `fails with ${outcome.code}`
    case "Unknown":
      return "no answer"
  }
}

/** A read of a node, or of what differs by nature from target to target. */
const incomparable = /^(?:Version|ListContainerStats|PullImage|ImageStatus|RemoveImage)\b/

const entriesOf = ({ log, names, states, broken }: Result) =>
  log.map((entry) => ({
    step: entry.step,
    label: entry.label,
    answer: incomparable.test(entry.label) ? entry.outcome._tag : answerOf(entry, names),
    states: states.get(entry.step) ?? [],
    broken: broken.get(entry.step) ?? []
  }))

/** What only one of two has. */
const only = (one: ReadonlyArray<string>, other: ReadonlyArray<string>) => one.filter((line) => !other.includes(line))

const shows = (lines: ReadonlyArray<string>) =>
  lines.length === 0 ? "shows nothing else" : `shows ${lines.join("; ")}`

/**
 * The entries in which two runs of one scenario differ. Where they show different states it is the last one: what follows
 * may be its consequence.
 */
export const disagreements = (seed: number, one: Result, other: Result): ReadonlyArray<Disagreement> => {
  const left = entriesOf(one)
  const right = entriesOf(other)
  const found: Array<Disagreement> = []
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const [a, b] = [left[index], right[index]]
    const { step, label } = a ?? b ?? { step: 0, label: "" }
    if (a === undefined || b === undefined || a.label !== b.label) {
      const says = [a?.label ?? "nothing to ask", b?.label ?? "nothing to ask"] as const
      return [...found, { seed, step, label, says, rules: [] }]
    }
    const rules = [...only(a.broken, b.broken), ...only(b.broken, a.broken)]
    const answers = a.answer === b.answer ? [] : [[a.answer, b.answer] as const]
    const shown = [only(a.states, b.states), only(b.states, a.states)] as const
    const differs = shown.some((lines) => lines.length > 0)
    const states = differs ? [[shows(shown[0]), shows(shown[1])] as const] : []
    for (const says of [...answers, ...states]) found.push({ seed, step, label, says, rules })
    if (differs) return found
  }
  return found
}

/** What the host is compared for, and what logs must have. */
const atTheEnd = (
  seed: number,
  left: ReadonlyArray<string>,
  right: ReadonlyArray<string>
): ReadonlyArray<Disagreement> =>
  [...only(left, right), ...only(right, left)].map((rule) => ({
    seed,
    step: -1,
    label: "after clean-up",
    says: left.includes(rule) ? ([`breaks ${rule}`, "holds it"] as const) : (["holds it", `breaks ${rule}`] as const),
    rules: [rule]
  }))

/** Without objects' names and numbers. */
const withoutNames = (text: string) =>
  text
    .replaceAll(/\b(?:c-\d+ of )?pod-\d+\b/g, "…")
    .replaceAll(/\d+/g, "#")
    .trim()

/** Of one RPC, whatever was asked of it. */
const kindOf = ({ label, says, rules }: Disagreement): string =>
  [label.split(" ")[0] ?? "", ...says, ...rules].map(withoutNames).join("\n")

/** One of each kind, with how often it was seen. */
export const compare = Effect.fn("compare")(function* (
  options: CompareOptions
): Effect.fn.Return<ReadonlyArray<Disagreement & { readonly count: number }>, TargetError | LinuxError, Services> {
  return yield* Effect.scoped(comparing(options))
})

const comparing = Effect.fnUntraced(function* (options: CompareOptions) {
  const begun = yield* Clock.currentTimeMillis
  const [one, other] = options.profiles
  const shared = { operations: options.operations, environment: options.environment, patient: true }
  const left = yield* makeRunner({
    ...shared,
    judge: makeOnlooker(),
    profile: one,
    directory: `${options.directory}/one`
  })
  const right = yield* makeRunner({
    ...shared,
    judge: makeOnlooker(),
    profile: other,
    directory: `${options.directory}/other`
  })
  const targets = [(yield* left.open).target, (yield* right.open).target]
  const operations = implementedOperations(chooseOperations(options.operations, options.only), (rpc) =>
    targets.every((target) => target.implements(rpc))
  )
  const found = new Map<string, Disagreement & { readonly count: number }>()
  for (let number = 0; number < options.runs; number++) {
    if ((yield* Clock.currentTimeMillis) - begun >= options.limitMs) break
    const seed = options.seed + number
    const steps = oneByOne(drawScenario(seed, { operations, length: options.length, canKill: false }))
    const [a, b] = [yield* left.run(steps), yield* right.run(steps)]
    const differing = [
      ...disagreements(seed, a, b),
      ...atTheEnd(seed, left.judge.takeBroken(), right.judge.takeBroken())
    ]
    const places = differing.map(({ label }) => label).join(", ")
    yield* options.write(`seed ${seed}: ${differing.length === 0 ? "agreed" : `differs at ${places}`}\n`)
    for (const disagreement of differing) {
      const kind = kindOf(disagreement)
      const known = found.get(kind)
      found.set(kind, { ...disagreement, ...known, count: (known?.count ?? 0) + 1 })
    }
  }
  return [...found.values()].sort((one, other) => one.label.localeCompare(other.label))
})

/** For people: what was asked, who said what, and which rules that concerns. */
export const describeDisagreements = (
  [one, other]: CompareOptions["profiles"],
  found: ReadonlyArray<Disagreement & { readonly count: number }>
): string => {
  const width = Math.max(one.name.length, other.name.length)
  const blocks = found.map(({ label, says, seed, step, count, rules }) => {
    const times = count === 1 ? "once" : `${count} times`
    const place = step < 0 ? `seed ${seed}` : `step ${step} of seed ${seed}`
    const concerned = rules.length === 0 ? "" : `  ${"rule".padEnd(width)}  ${rules.join(", ")}\n`
    return `${label}: ${times}, first in ${place}\n  ${one.name.padEnd(width)}  ${says[0]}\n  ${other.name.padEnd(width)}  ${says[1]}\n${concerned}`
  })
  return found.length === 0 ? "no difference\n" : `${blocks.join("")}${found.length} kinds of differences\n`
}
