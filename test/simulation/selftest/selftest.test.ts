/** The driver tested: it accepts a right daemon and convicts each wrong one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { exhaust, formatReport } from "../../world/exhaust.ts"
import { installHost } from "../../world/programs/host.ts"
import { logHash, runScenario, type Scenario } from "../../world/Simulation.ts"
import { World } from "../../world/World.ts"
import { Boxes, boxesLayer, type Flaw } from "./Boxes.ts"

const scenario = (flaw: Flaw) => (): Scenario<Boxes> => {
  const use = (run: (boxes: Boxes["Service"]) => Effect.Effect<unknown, unknown>) => Effect.flatMap(Boxes, run)
  return {
    world: (seed) => {
      const world = installHost(new World(seed === undefined ? {} : { seed }))
      world.vfs.makeDirectories("/var/lib/boxes")
      world.settle()
      return world
    },
    daemon: (seam) => Layer.provide(boxesLayer(flaw), seam),
    steps: [
      { name: "Create", run: use((boxes) => boxes.create("one")) },
      {
        name: "CreateTwo",
        run: use((boxes) => Effect.all([boxes.create("two"), boxes.create("three")], { concurrency: 2 }))
      },
      { name: "Remove", run: use((boxes) => boxes.remove("one")) }
    ],
    cleanup: use((boxes) =>
      Effect.gen(function* () {
        for (const name of yield* boxes.list) yield* boxes.remove(name)
        const left = yield* boxes.list
        if (left.length > 0) return yield* Effect.fail(`still listed: ${left.join(" ")}`)
      })
    ),
    roots: ["/var/lib/boxes", "/run/boxes", "/var/lib/cni"],
    ignore: (line) =>
      /^link bridge|last_reserved_ip|^directory \/(run\/boxes|var\/lib\/cni(\/networks(\/boxes)?)?)$/.test(line)
  }
}

describe("the simulation of a toy daemon", () => {
  it("accepts one that keeps the rules, whatever happens wherever", { timeout: 120_000 }, async () => {
    for (const after of ["retry", "cleanup"] as const) {
      const report = await exhaust({ make: scenario("none"), when: ["before", "after"], after })
      process.stdout.write(`${formatReport(report)}\n`)
      assert.deepStrictEqual(
        report.failed.map(({ title, failures }) => [title, failures]),
        []
      )
      assert.isAbove(report.runs, 500)
    }
  })

  for (const flaw of [
    "intent after action",
    "no sync before rename",
    "no sync of the directory",
    "no rollback",
    "release not retried",
    "no recovery",
    "stop hangs"
  ] satisfies ReadonlyArray<Flaw>) {
    it(`convicts: ${flaw}`, { timeout: 120_000 }, async () => {
      for (const after of ["retry", "cleanup"] as const) {
        const report = await exhaust({ make: scenario(flaw), maxFailures: 1, after })
        const [found] = report.failed
        if (found === undefined) continue
        process.stdout.write(`${flaw}: run ${report.runs}, ${found.title}\n  ${found.failures.join("\n  ")}\n`)
        return
      }
      assert.fail("nothing found")
    })
  }

  it("is deterministic: a seed gives the same log, another seed another", async () => {
    const [a, b, c] = [
      await runScenario(scenario("none"), { seed: 7 }),
      await runScenario(scenario("none"), { seed: 7 }),
      await runScenario(scenario("none"), { seed: 8 })
    ]
    assert.deepStrictEqual(a.failures, [])
    assert.strictEqual(logHash(a.log), logHash(b.log))
    assert.notStrictEqual(logHash(a.log), logHash(c.log))
  })
})
