/** One test per kind of fault: it strikes at every point of the walk, once per run. */
import { assert, it } from "@effect/vitest"
import { exhaust, formatReport, type FaultKind } from "../../world/exhaust.ts"
import { podWalk } from "./podWalk.ts"

const timeout = 20 * 60_000

export const everyPoint = (kind: FaultKind, after: "retry" | "cleanup"): void => {
  it(`leaves nothing behind: ${kind} at every point, then ${after}`, { timeout }, async () => {
    const report = await exhaust({ make: podWalk(), kinds: [kind], after })
    process.stdout.write(`${formatReport(report, (plan) => `node test/simulation/replay.ts '${plan}' ${after}`)}\n`)
    assert.deepStrictEqual(
      report.failed.map(({ title, failures }) => [title, ...failures]),
      []
    )
    assert.isAbove(report.runs, 0)
  })
}
