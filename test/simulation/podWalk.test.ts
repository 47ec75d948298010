/** The pod's walk in the simulated world: every fault at every call, and afterwards the world is empty. */
import { assert, describe, it } from "@effect/vitest"
import type { FaultKind } from "../world/exhaust.ts"
import { exhaust, formatReport } from "../world/exhaust.ts"
import { logHash, runScenario } from "../world/Simulation.ts"
import { podWalk } from "./support/podWalk.ts"

const minutes = 60_000

describe("a pod's walk, crun on cgroup v2", () => {
  it("replays by its seed", async () => {
    for (const seed of [1, 2, 3]) {
      const [first, second] = [await runScenario(podWalk(), { seed }), await runScenario(podWalk(), { seed })]
      assert.deepStrictEqual(first.failures, [])
      assert.strictEqual(logHash(first.log), logHash(second.log))
    }
  })

  const cases: ReadonlyArray<readonly [FaultKind, "retry" | "cleanup"]> = [
    ["fail", "retry"],
    ["interrupt", "retry"],
    ["cancel", "retry"],
    ["terminate", "retry"],
    ["crash", "retry"],
    ["power", "cleanup"],
    ["exit", "retry"],
    ["kill", "retry"]
  ]
  for (const [kind, after] of cases) {
    it(`leaves nothing behind: ${kind} at every point`, { timeout: 20 * minutes }, async () => {
      const report = await exhaust({ make: podWalk(), kinds: [kind], after })
      process.stdout.write(`${formatReport(report)}\n`)
      assert.deepStrictEqual(
        report.failed.map(({ title, failures }) => [title, ...failures]),
        []
      )
      assert.isAbove(report.runs, 0)
    })
  }
})

describe("a pod's walk on other hosts", () => {
  for (const [handler, cgroups] of [
    ["runc", "v2"],
    ["crun", "v1"],
    ["runc", "v1"]
  ] as const) {
    it(`leaves nothing behind without faults: ${handler} on cgroup ${cgroups}`, async () => {
      const { failures } = await runScenario(podWalk({ handler, world: { cgroups } }))
      assert.deepStrictEqual(failures, [])
    })
  }
})
