/**
 * `node test/simulation/sweep.ts KIND,KIND… [OPTIONS]`: a part of the suite or more than it, with everything it finds.
 * The options are JSON: `{"after":"cleanup","when":["after"],"walk":{"handler":"runc"}}`.
 */
import { formatReport } from "../world/exhaust.ts"
import type { FaultKind } from "../world/plannedRuns.ts"
import { replayCommand, sweep, type SweepOptions } from "./support/sweep.ts"

const [kinds = "", more = "{}"] = process.argv.slice(2)
const options: SweepOptions = {
  kinds: kinds.split(",") as ReadonlyArray<FaultKind>,
  maxFailures: Number.POSITIVE_INFINITY,
  ...(JSON.parse(more) as SweepOptions)
}
const report = await sweep(options)
process.stdout.write(`${formatReport(report, replayCommand(options))}\n`)
process.exitCode = report.failed.length === 0 ? 0 : 1
