/** Random runs, one seed after the other; every twentieth twice. */
import { logHash } from "../../world/Simulation.ts"
import { drawPlan } from "./commands.ts"
import { runRandom } from "./run.ts"
import type { Sight } from "./sights.ts"

/** What came of some seeds. */
export interface SeedRuns {
  readonly seeds: number
  readonly commands: number
  readonly undecided: number
  /** Seeds that were run twice, to see whether the log is the same. */
  readonly repeated: number
  readonly failed: ReadonlyArray<{ readonly seed: number; readonly failures: ReadonlyArray<string> }>
  /** In how many runs each state was reached. */
  readonly sights: ReadonlyMap<Sight, number>
}

/** Every so many seeds one is run twice. */
const repeatEvery = 20

export const runSeeds = async (seeds: ReadonlyArray<number>): Promise<SeedRuns> => {
  const failed: Array<{ seed: number; failures: ReadonlyArray<string> }> = []
  const sights = new Map<Sight, number>()
  let [commands, undecided, repeated] = [0, 0, 0]
  for (const seed of seeds) {
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
    commands += result.commands
    undecided += result.undecided
    for (const sight of result.sights) sights.set(sight, (sights.get(sight) ?? 0) + 1)
    if (failures.length > 0) failed.push({ seed, failures })
  }
  return { seeds: seeds.length, commands, undecided, repeated, failed, sights }
}
