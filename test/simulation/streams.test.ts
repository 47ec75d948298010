/** Clients at a container's streams and at a pod's port, with one fault per run at every point of what they do. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { formatReport, type FaultKind, type Report } from "../world/exhaust.ts"
import { runScenario } from "../world/Simulation.ts"
import { podWalk } from "./support/podWalk.ts"
import { replayCommand, sweep, type SweepOptions } from "./support/sweep.ts"

const kinds: ReadonlyArray<FaultKind> = ["fail", "interrupt", "cancel", "crash"]
/** At the pods' side alone, then with clients of the streaming server. With runc only a terminal is another matter. */
const stepsOf = {
  crun: [
    "Exec",
    "ExecOnTerminal",
    "AbandonedExec",
    "Attach",
    "PortForward",
    "ClientExec",
    "ClientLeavesExec",
    "ClientAttach",
    "ClientPortForward"
  ],
  runc: ["ExecOnTerminal"]
}

describe("exec, attach and port forwarding", () => {
  for (const handler of ["crun", "runc"] as const) {
    it(`carry what they are given: ${handler}`, async () => {
      const { failures } = await runScenario(podWalk({ handler, streams: true }))
      assert.deepStrictEqual(failures, [])
    })

    describe(`with a fault at every point: ${handler}`, () => {
      let report: Report
      const steps = stepsOf[handler]
      beforeAll(async () => {
        const options: SweepOptions = { kinds, steps, walk: { handler, streams: true }, maxFailures: 50 }
        report = await sweep(options)
        process.stdout.write(`${formatReport(report, replayCommand(options))}\n`)
      }, 10 * 60_000)
      for (const kind of kinds) {
        it(`leave nothing behind: ${kind}`, () => {
          const failed = report.failed.filter(({ plan }) => plan === undefined || plan.fault.kind === kind)
          assert.deepStrictEqual(
            failed.map(({ title, failures }) => [title, ...failures]),
            []
          )
          for (const step of steps) assert.isAbove(report.runsBy.get(step)?.get(kind) ?? 0, 0)
        })
      }
    })
  }
})
