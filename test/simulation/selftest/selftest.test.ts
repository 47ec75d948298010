/** The driver tested: it accepts a right daemon and convicts each wrong one. */
import { assert, describe, it } from "@effect/vitest"
import { formatReport } from "../../world/exhaust.ts"
import { logHash, runScenario } from "../../world/Simulation.ts"
import { crew } from "../crew/Crew.ts"
import type { Flaw } from "./Boxes.ts"
import { boxesScenario } from "./scenario.ts"

describe("the simulation of a toy daemon", () => {
  it("accepts one that keeps the rules, whatever happens wherever", { timeout: 120_000 }, async () => {
    const kinds = ["retry", "cleanup"] as const
    const options = { flaw: "none", when: ["before", "after"], maxFailures: 20 } as const
    for (const report of await Promise.all(kinds.map((after) => crew.run("boxes", { ...options, after })))) {
      process.stdout.write(`${formatReport(report)}\n`)
      assert.deepStrictEqual(
        report.failed.map(({ title, failures }) => [title, failures]),
        []
      )
      assert.isAbove(report.done, 500)
    }
  })

  for (const flaw of [
    "intent after action",
    "no sync before rename",
    "no sync of the directory",
    "no rollback",
    "release not retried",
    "no recovery",
    "stop hangs"
  ] satisfies ReadonlyArray<Flaw>) {
    it.concurrent(`convicts: ${flaw}`, { timeout: 120_000 }, async () => {
      for (const after of ["retry", "cleanup"] as const) {
        const report = await crew.run("boxes", { flaw, when: ["before"], after, maxFailures: 1 })
        const [found] = report.failed
        if (found === undefined) continue
        process.stdout.write(`${flaw}: run ${report.runs}, ${found.title}\n  ${found.failures.join("\n  ")}\n`)
        return
      }
      assert.fail("nothing found")
    })
  }

  it("is deterministic: a seed gives the same log, another seed another", async () => {
    const [a, b, c] = [
      await runScenario(boxesScenario("none"), { seed: 7 }),
      await runScenario(boxesScenario("none"), { seed: 7 }),
      await runScenario(boxesScenario("none"), { seed: 8 })
    ]
    assert.deepStrictEqual(a.failures, [])
    assert.strictEqual(logHash(a.log), logHash(b.log))
    assert.notStrictEqual(logHash(a.log), logHash(c.log))
  })
})
