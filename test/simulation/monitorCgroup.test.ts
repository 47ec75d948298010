/** Monitors in cgroups of their own: where they run, and that these go with their containers, whatever happens. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { formatReport } from "../world/exhaust.ts"
import { runScenario, type Scenario } from "../world/Simulation.ts"
import type { World } from "../world/World.ts"
import { podWalk } from "./support/podWalk.ts"
import { replayCommand, sweep, type SweepOptions } from "./support/sweep.ts"

const walk = { monitorsInPod: true }

/** The pod's walk with a look at the world after a step. */
const lookingAfter = <S>(scenario: Scenario<S>, step: string, look: (world: World) => void): Scenario<S> => {
  let world: World | undefined
  return {
    ...scenario,
    world: (seed) => (world = scenario.world(seed)),
    steps: scenario.steps.flatMap((one) =>
      one.name === step ? [one, { name: "Look", run: Effect.sync(() => look(world as World)) }] : [one]
    )
  }
}

describe.each(["v1", "v2"] as const)("monitors in the pod's cgroup on %s", (cgroups) => {
  it("are there in every hierarchy while the container runs", async () => {
    const places = new Set<string>()
    const look = (world: World) => {
      for (const process of world.processes.all.values()) {
        if (process.exit !== undefined || !process.args.includes("--exit-dir")) continue
        for (const { path } of process.cgroups.values()) places.add(path)
      }
    }
    const scenario = podWalk({ ...walk, world: { cgroups } })()
    const { failures } = await runScenario(() => lookingAfter(scenario, "StartContainer", look))
    assert.deepStrictEqual(failures, [])
    assert.strictEqual(places.size, 1)
    assert.match([...places].join(" "), /^\/crio\/crio-conmon-[0-9a-f]{64}$/)
  })
})

describe("a pod's walk with monitors in the pod's cgroup", () => {
  // From the record that names the cgroup to the removal of both; all other steps go as they always do.
  const options: SweepOptions = {
    kinds: ["fail", "crash", "exit", "kill"],
    walk,
    steps: ["CreateContainer", "RemoveContainer", "programs"],
    maxFailures: 50
  }
  it("leaves nothing behind, with a fault at every point of the monitor's life", { timeout: 20 * 60_000 }, async () => {
    const report = await sweep(options)
    process.stdout.write(`${formatReport(report, replayCommand(options))}\n`)
    assert.deepStrictEqual(
      report.failed.map(({ title, failures }) => [title, ...failures]),
      []
    )
    assert.strictEqual(report.done, report.planned)
  })
})
