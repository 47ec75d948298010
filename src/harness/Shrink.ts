/**
 * Makes a scenario smaller that breaks a rule. Each attempt costs seconds on a real target, so the order is by what helps
 * a reader most: fewer steps, then nothing at the same time, then no interruption, then smaller numbers.
 */
import { Effect } from "effect"
import type { Call, Step } from "./Scenario.ts"

const without = <A>(from: ReadonlyArray<A>, start: number, count: number): ReadonlyArray<A> => [
  ...from.slice(0, start),
  ...from.slice(start + count)
]

/** Large pieces first. */
function* fewerSteps(steps: ReadonlyArray<Step>): Generator<ReadonlyArray<Step>> {
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = steps.length - size; start > -size; start -= size) {
      const from = Math.max(0, start)
      const fewer = without(steps, from, Math.min(size, start + size))
      if (fewer.length < steps.length) yield fewer
    }
  }
}

const replaced = (steps: ReadonlyArray<Step>, index: number, by: ReadonlyArray<Step>): ReadonlyArray<Step> => [
  ...steps.slice(0, index),
  ...by,
  ...steps.slice(index + 1)
]

function* lessAtOnce(steps: ReadonlyArray<Step>): Generator<ReadonlyArray<Step>> {
  for (const [index, step] of steps.entries()) {
    const { twin, ...single } = step
    if (twin === true) yield replaced(steps, index, [single])
    if (step.calls.length < 2) continue
    for (const left of step.calls.keys())
      yield replaced(steps, index, [{ ...step, calls: without(step.calls, left, 1) }])
    if (step.interruption === undefined) {
      yield replaced(
        steps,
        index,
        step.calls.map((call): Step => ({ calls: [call] }))
      )
    }
  }
}

function* fewerInterruptions(steps: ReadonlyArray<Step>): Generator<ReadonlyArray<Step>> {
  for (const [index, step] of steps.entries()) {
    const { interruption, ...plain } = step
    if (interruption === undefined) continue
    if (step.calls.length > 0) {
      yield replaced(steps, index, [plain])
      // The same, but not at the same time.
      if (interruption.kind !== "cancel") yield replaced(steps, index, [plain, { calls: [], interruption }])
    }
  }
}

const smallerNumbers = (value: number): ReadonlyArray<number> =>
  value === 0 ? [] : value === 1 ? [0] : [0, Math.floor(value / 2), value - 1]

const smallerCalls = (call: Call): ReadonlyArray<Call> =>
  Object.entries(call.parameters).flatMap(([name, value]) =>
    typeof value === "number"
      ? smallerNumbers(value).map((smaller): Call => ({ ...call, parameters: { ...call.parameters, [name]: smaller } }))
      : []
  )

function* smaller(steps: ReadonlyArray<Step>): Generator<ReadonlyArray<Step>> {
  for (const [index, step] of steps.entries()) {
    for (const [place, call] of step.calls.entries()) {
      for (const other of smallerCalls(call)) {
        yield replaced(steps, index, [{ ...step, calls: step.calls.map((one, at) => (at === place ? other : one)) }])
      }
    }
    if (step.interruption !== undefined && step.interruption.afterMs > 0) {
      for (const afterMs of [0, Math.floor(step.interruption.afterMs / 2)]) {
        yield replaced(steps, index, [{ ...step, interruption: { ...step.interruption, afterMs } }])
      }
    }
  }
}

const phases = [fewerSteps, lessAtOnce, fewerInterruptions, smaller]

/** Simpler scenarios that are worth a try, the most promising first. Each differs from the given one. */
export function* simplerScenarios(steps: ReadonlyArray<Step>): Generator<ReadonlyArray<Step>> {
  for (const phase of phases) yield* phase(steps)
}

/**
 * Takes simpler scenarios for as long as one breaks, and ends with one of which no simpler one does. `attempt` answers
 * what was done of the scenario, or undefined when it holds. After a success it goes on where it was: what was tried
 * before is tried again only once, at the end.
 */
export const simplify = Effect.fnUntraced(function* <E, R>(
  steps: ReadonlyArray<Step>,
  attempt: (steps: ReadonlyArray<Step>) => Effect.Effect<ReadonlyArray<Step> | undefined, E, R>,
  goesOn: Effect.Effect<boolean> = Effect.succeed(true)
): Effect.fn.Return<ReadonlyArray<Step>, E, R> {
  let smallest = steps
  let isSmaller = true
  /** From the given number on: the number of the one that was taken. */
  const take = Effect.fnUntraced(function* (phase: (typeof phases)[number], from: number) {
    for (const [number, simpler] of [...phase(smallest)].entries()) {
      if (number < from) continue
      if (!(yield* goesOn)) return undefined
      const done = yield* attempt(simpler)
      if (done === undefined) continue
      smallest = done
      return number
    }
    return undefined
  })
  while (isSmaller) {
    isSmaller = false
    for (const phase of phases) {
      for (let taken = yield* take(phase, 0); taken !== undefined; taken = yield* take(phase, taken)) isSmaller = true
    }
  }
  return smallest
})

/** Steps that had no object changed nothing; those after the violation were never run. */
export const onlyDone = (steps: ReadonlyArray<Step>, done: ReadonlySet<number>): ReadonlyArray<Step> =>
  steps.filter((_, index) => done.has(index))
