/** Random sequences of commands with faults: as many seeds as SIMULATION_SEEDS says, 1,000 without it. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { mkdirSync, writeFileSync } from "node:fs"
import { crew } from "../crew/Crew.ts"
import { drawPlan } from "./commands.ts"
import found from "./found.json" with { type: "json" }
import { sweepSeeds, type SeedReport } from "./seeds.ts"
import { type Sight, sights } from "./sights.ts"

const count = Number(process.env["SIMULATION_SEEDS"] ?? "1000")
const first = Number(process.env["SIMULATION_FIRST_SEED"] ?? "100000")
const timeout = 3 * 60 * 60_000

/** The smallest plan that fails, in a file, and the command that repeats it. */
const explain = async ({ seed, failures }: SeedReport["failed"][number]): Promise<string> => {
  const plan = await crew.run("shrink", drawPlan(seed))
  const directory = ".cache/simulation"
  mkdirSync(directory, { recursive: true })
  const file = `${directory}/seed-${seed}.json`
  writeFileSync(file, `${JSON.stringify(plan, undefined, 2)}\n`)
  const commands = plan.bursts.reduce((sum, burst) => sum + burst.commands.length, 0)
  return [
    `seed ${seed}: ${failures.join("\n")}`,
    `shrunk to ${commands} commands and ${plan.faults.length} faults: node test/simulation/random/replay.ts ${file}`,
    `as it was: node test/simulation/random/replay.ts ${seed}`
  ].join("\n")
}

describe("random commands with faults", () => {
  let report: SeedReport

  beforeAll(async () => {
    report = await sweepSeeds(first, count)
    const perSecond = (report.seeds / (report.wallMs / 1000)).toFixed(1)
    const reached = (Object.keys(sights) as ReadonlyArray<Sight>).map(
      (sight) => `  ${String(report.sights.get(sight) ?? 0).padStart(6)}  ${sight}`
    )
    process.stdout.write(
      `${report.seeds} seeds from ${first}, ${report.commands} commands, ${perSecond} seeds a second, ${report.repeated} of them twice, ${report.undecided} histories undecided\n${reached.join("\n")}\n`
    )
  }, timeout)

  for (const { seed, found: what } of found) {
    it(`never again: ${what} (seed ${seed})`, async () => {
      assert.deepStrictEqual((await crew.run("seeds", [seed])).failed, [])
    })
  }

  it(
    "are explained by an order of the commands, leave nothing behind and give the same log again",
    { timeout },
    async () => {
      const explained: Array<string> = []
      for (const failure of report.failed.slice(0, 3)) explained.push(await explain(failure))
      const others = report.failed.slice(3).map(({ seed }) => `seed ${seed} as well`)
      assert.deepStrictEqual([...explained, ...others], [])
      assert.isAtLeast(report.seeds, count)
      assert.isAtLeast(report.repeated, Math.floor(count / 20) - 1)
    }
  )

  it("are decided nearly always", () => {
    assert.isAtMost(report.undecided, Math.ceil(report.seeds / 100))
  })

  for (const sight of Object.keys(sights) as ReadonlyArray<Sight>) {
    it(`sometimes: ${sight}`, () => {
      assert.isAbove(report.sights.get(sight) ?? 0, 0)
    })
  }
})
