/** Holds what is seen against the rules, and counts: a known deviation is named and goes on, another one ends the run. */
import { Effect } from "effect"
import { Violation } from "./HarnessError.ts"
import type { Circumstance, KnownDeviation } from "./Profile.ts"

export interface RuleCount {
  readonly held: number
  readonly violated: number
  /** By the reason that the profile gives, with an example. */
  readonly known: ReadonlyArray<{ readonly reason: string; readonly count: number; readonly example: string }>
}

export interface Judge {
  /** A scenario begins: nothing has happened yet. */
  readonly begin: () => void
  /** From now on in this scenario. */
  readonly happened: (circumstance: Circumstance) => void
  /** Counts the rule as held, or fails with its violation; true unless it is a known deviation. */
  readonly hold: (rule: string, holds: boolean, details: () => string) => Effect.Effect<boolean, Violation>
  /** Whether the violation would be a known deviation. */
  readonly knows: (rule: string, details: string) => boolean
  readonly counts: () => ReadonlyMap<string, RuleCount>
  /** The rules that were broken without ending the run, since this was asked last. */
  readonly takeBroken: () => ReadonlyArray<string>
}

interface Counted {
  held: number
  violated: number
  readonly known: Map<string, { count: number; readonly example: string }>
}

/** With "all" nothing is a violation. */
export const makeJudge = (known: ReadonlyArray<KnownDeviation> | "all"): Judge => {
  const counted = new Map<string, Counted>()
  const deviations = (known === "all" ? [] : known).map((deviation) => ({
    ...deviation,
    fits: (details: string) => deviation.matching === undefined || new RegExp(deviation.matching).test(details)
  }))
  const circumstances = new Set<Circumstance>()
  const deviationOf = (rule: string, text: string): Pick<KnownDeviation, "reason"> | undefined =>
    known === "all"
      ? { reason: "" }
      : deviations.find(
          ({ rule: id, after, fits }) => id === rule && fits(text) && (after === undefined || circumstances.has(after))
        )
  let broken = new Set<string>()
  const countOf = (rule: string): Counted => {
    const count = counted.get(rule) ?? { held: 0, violated: 0, known: new Map() }
    counted.set(rule, count)
    return count
  }
  return {
    begin: () => circumstances.clear(),
    happened: (circumstance) => void circumstances.add(circumstance),
    hold: (rule, holds, details) =>
      Effect.suspend(() => {
        const count = countOf(rule)
        if (holds) {
          count.held++
          return Effect.succeed(true)
        }
        const text = details()
        const deviation = deviationOf(rule, text)
        if (deviation === undefined) {
          count.violated++
          return Effect.fail(new Violation({ rule, details: text }))
        }
        broken.add(rule)
        const named = count.known.get(deviation.reason) ?? { count: 0, example: text }
        named.count++
        count.known.set(deviation.reason, named)
        return Effect.succeed(false)
      }),
    knows: (rule, details) => deviationOf(rule, details) !== undefined,
    takeBroken: () => {
      const taken = [...broken]
      broken = new Set()
      return taken
    },
    counts: () =>
      new Map(
        [...counted].map(([rule, { held, violated, known }]) => [
          rule,
          {
            held,
            violated,
            known: [...known].map(([reason, { count, example }]) => ({ reason, count, example }))
          }
        ])
      )
  }
}

/** Looks on: nothing is a violation. For what compares targets with each other. */
export const makeOnlooker = (): Judge => makeJudge("all")
