/** The simulation is worth what it notices: each of these flaws is found, by the rule that is there for it. */
import { assert, describe, it } from "@effect/vitest"
import { findingsOf, mutations } from "./mutations.ts"

describe("a flaw is found", () => {
  it("in ten ways at least", () => assert.isAtLeast(mutations.length, 10))

  for (const mutation of mutations) {
    it.concurrent(`${mutation.name}: ${mutation.breaks}`, { timeout: 20 * 60_000 }, async () => {
      const findings = await findingsOf(mutation)
      assert.include(findings, mutation.rule, "what was found")
    })
  }
})
