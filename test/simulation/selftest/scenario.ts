/** What is done with the toy daemon. */
import { Effect, Layer } from "effect"
import { installHost } from "../../world/programs/host.ts"
import type { Scenario } from "../../world/Simulation.ts"
import { World } from "../../world/World.ts"
import { Boxes, boxesLayer, type Flaw } from "./Boxes.ts"

export const boxesScenario = (flaw: Flaw) => (): Scenario<Boxes> => {
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
