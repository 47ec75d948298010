/** `node test/simulation/sweep.ts KIND,KIND… [retry|cleanup]`: a part of the suite, with everything it finds. */
import { formatReport, type FaultKind } from "../world/exhaust.ts"
import { replayCommand, sweep, type SweepOptions } from "./support/sweep.ts"

const [kinds = "", after] = process.argv.slice(2)
const options: SweepOptions = {
  kinds: kinds.split(",") as ReadonlyArray<FaultKind>,
  after: after === "cleanup" ? "cleanup" : "retry",
  maxFailures: Number.POSITIVE_INFINITY
}
const report = await sweep(options)
process.stdout.write(`${formatReport(report, replayCommand(options))}\n`)
process.exitCode = report.failed.length === 0 ? 0 : 1
