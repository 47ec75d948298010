/** The pod's walk with one fault per run, at every point of it in turn: whatever happens, nothing is left behind. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { formatReport, type FaultKind, type Report } from "../world/exhaust.ts"
import { replayCommand, sweep, type SweepOptions } from "./support/sweep.ts"

const timeout = 20 * 60_000

const everyPoint = (title: string, options: SweepOptions & { readonly kinds: ReadonlyArray<FaultKind> }): void => {
  describe(title, () => {
    let report: Report
    beforeAll(async () => {
      report = await sweep(options)
      process.stdout.write(`${title}\n${formatReport(report, replayCommand(options))}\n`)
    }, timeout)
    for (const kind of options.kinds) {
      it(`leaves nothing behind: ${kind}`, () => {
        const failed = report.failed.filter(({ plan }) => plan === undefined || plan.fault.kind === kind)
        assert.deepStrictEqual(
          failed.map(({ title, failures }) => [title, ...failures]),
          []
        )
        const runs = [...report.runsBy.values()].map((row) => row.get(kind) ?? 0)
        assert.isAbove(Math.max(...runs), 0)
      })
    }
    it("is done with every point", () => {
      assert.strictEqual(report.runs, report.planned)
    })
  })
}

everyPoint("a pod's walk with a fault at every point", {
  kinds: ["fail", "interrupt", "cancel", "terminate", "exit", "kill"],
  maxFailures: 50
})

everyPoint("a pod's walk with the daemon's death at every point", {
  kinds: ["crash"],
  when: ["before", "after"],
  maxFailures: 50
})

// After a reboot no pod runs any more: there is nothing to go on with.
everyPoint("a pod's walk with a loss of power at every point", {
  kinds: ["power"],
  after: "cleanup",
  maxFailures: 50
})

// The steps in which the namespace, its layers and its volumes are taken; they go as all others do.
everyPoint("a pod's walk in a user namespace with a fault at every point of its start", {
  kinds: ["fail", "interrupt", "crash"],
  walk: { userNamespace: true },
  steps: ["RunPodSandbox", "CreateContainer", "StopPodSandbox"],
  maxFailures: 50
})
