/** What the crew can do. Inputs and outputs pass between processes: plain data, maps and sets. */
import { exhaust, type ExhaustOptions, referenceOf, runPlans } from "../../world/exhaust.ts"
import type { Holdings } from "../../world/Leftovers.ts"
import { plannedRuns, type PlannedRun } from "../../world/plannedRuns.ts"
import type { Plan } from "../random/commands.ts"
import { runRandom } from "../random/run.ts"
import { runSeeds } from "../random/seedRuns.ts"
import { shrink } from "../random/shrink.ts"
import type { Flaw } from "../selftest/Boxes.ts"
import { boxesScenario } from "../selftest/scenario.ts"
import { eventFaults } from "../support/heardEvents.ts"
import { podWalk } from "../support/podWalk.ts"
import type { SweepOptions } from "../support/sweep.ts"

export interface PlansInput {
  readonly options: SweepOptions
  readonly runs: ReadonlyArray<PlannedRun>
  readonly accepted: Holdings
  readonly maxFailures: number
}

export const jobs = {
  /** The walk without faults, and the plans that follow from it. */
  reference: async ({ walk, ...options }: SweepOptions) => {
    const reference = await referenceOf({ ...options, make: podWalk(walk) })
    const runs = reference.failures.length > 0 ? [] : plannedRuns(reference.records, options)
    return { reference, runs }
  },

  /** Some of the plans. */
  plans: ({ options: { walk, ...options }, runs, accepted, maxFailures }: PlansInput) =>
    runPlans({ ...options, make: podWalk(walk) }, runs, accepted, maxFailures),

  /** Every point of the toy daemon. */
  boxes: ({ flaw, ...options }: Omit<ExhaustOptions<never>, "make"> & { readonly flaw: Flaw }) =>
    exhaust({ ...options, make: boxesScenario(flaw) }),

  events: eventFaults,
  seeds: runSeeds,

  /** The smallest plan that still fails. */
  shrink: (plan: Plan) => shrink(plan, async (smaller) => (await runRandom(smaller)).failures.length > 0, 150)
}

export type Jobs = typeof jobs
