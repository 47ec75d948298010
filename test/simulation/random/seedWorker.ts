/** One shard of the seeds, on a core of its own. */
import { parentPort, workerData } from "node:worker_threads"
import { logHash } from "../../world/Simulation.ts"
import { drawPlan } from "./commands.ts"
import { runRandom } from "./run.ts"
import type { SeedReport, Shard } from "./seeds.ts"
import type { Sight } from "./sights.ts"

/** Every so many seeds one is run twice. */
// Refusals of the simulated kernel are errors by the million; nobody reads their stacks.
Error.stackTraceLimit = 0

const repeatEvery = 20

const { first, count, untilMs, index, of } = workerData as Shard
const began = performance.now()
const failed: Array<{ seed: number; failures: ReadonlyArray<string> }> = []
const sights = new Map<Sight, number>()
let [seeds, commands, undecided, repeated] = [0, 0, 0, 0]
for (let at = index; at < count || performance.now() - began < untilMs; at += of) {
  const seed = first + at
  const result = await runRandom(drawPlan(seed))
  const failures = [...result.failures]
  if (seed % repeatEvery === 0) {
    repeated++
    const again = await runRandom(drawPlan(seed))
    if (logHash(again.log) !== logHash(result.log)) {
      const line = result.log.findIndex((text, number) => text !== again.log[number])
      failures.push(`not deterministic, first at line ${line}:\n  ${result.log[line]}\n  ${again.log[line]}`)
    }
  }
  seeds++
  commands += result.commands
  undecided += result.undecided
  for (const sight of result.sights) sights.set(sight, (sights.get(sight) ?? 0) + 1)
  if (failures.length > 0) failed.push({ seed, failures })
}
const report: SeedReport = { seeds, commands, undecided, repeated, failed, sights, wallMs: performance.now() - began }
parentPort?.postMessage(report)
