/** Faults that share a run: what comes of one of them comes of the others. */
import { assert, describe, it } from "@effect/vitest"
import type { FaultPlan } from "../world/Calls.ts"
import { referenceOf } from "../world/exhaust.ts"
import { plannedRuns, type PlanOptions } from "../world/plannedRuns.ts"
import { runScenario } from "../world/Simulation.ts"
import { podWalk } from "./support/podWalk.ts"

const make = podWalk()

/** What the next daemon and everybody else does, without the names that are drawn; undefined: nothing struck. */
const sequel = async (plan: FaultPlan, { after = "retry" }: PlanOptions) => {
  const { log, failures } = await runScenario(make, { plan, after })
  const begin = log.findIndex((line) => line.startsWith("-- life 2"))
  if (begin < 0) return undefined
  const calls = log.slice(begin).map((line) => / (?:seam|program|request)#\d+ (\S+ \S+)/.exec(line)?.[1] ?? "")
  return { failures, calls }
}

describe("faults that share a run", () => {
  for (const { title, every, options } of [
    {
      title: "death after a call and before the next",
      every: 60,
      options: { kinds: ["crash"], when: ["before", "after"] }
    },
    { title: "power losses that leave the same disk", every: 16, options: { kinds: ["power"], after: "cleanup" } }
  ] satisfies ReadonlyArray<{ readonly title: string; readonly every: number; readonly options: PlanOptions }>) {
    it(`do the same: ${title}`, async () => {
      const { records } = await referenceOf({ make, ...options })
      const shared = plannedRuns(records, options).filter(({ alike }) => alike.length > 0)
      const some = shared.filter((_, index) => index % every === 0)
      assert.isAtLeast(some.length, 5)
      for (const { plan, alike } of some) {
        const last = alike.at(-1) as FaultPlan
        const other = await sequel(last, options)
        if (other === undefined) continue
        assert.deepStrictEqual(await sequel(plan, options), other, `${JSON.stringify(plan)} ${JSON.stringify(last)}`)
      }
    })
  }
})
