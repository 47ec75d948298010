/**
 * Events of the pod's walk, heard by a client of every life of the daemon: whatever strikes, no transition is told twice
 * and none before the one that it follows; without a fault each one is told.
 */
import { assert, describe, it } from "@effect/vitest"
import type { FaultKind } from "../world/plannedRuns.ts"
import { crew } from "./crew/Crew.ts"
import { byObject, order, run } from "./support/heardEvents.ts"

describe("events of a pod's walk", () => {
  it("are all told, once and in order", async () => {
    const { heard, result } = await run()
    assert.deepStrictEqual(result.failures, [])
    const objects = [...byObject(heard).values()]
    assert.lengthOf(objects, 2)
    for (const events of objects) {
      assert.deepStrictEqual(
        events.map(({ kind }) => kind),
        order
      )
    }
  })

  for (const kind of ["crash", "cancel", "terminate", "kill"] satisfies ReadonlyArray<FaultKind>) {
    it.concurrent(`none is told twice or too early: ${kind}`, async () => {
      const { runs, faults } = await crew.run("events", kind)
      assert.isAbove(runs, 2)
      assert.deepStrictEqual(faults, [])
    })
  }
})
