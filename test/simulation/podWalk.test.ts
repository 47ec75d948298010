/** The pod's walk of the real daemon in the simulated world, without faults: the ground on which the others stand. */
import { assert, describe, it } from "@effect/vitest"
import { logHash, runScenario } from "../world/Simulation.ts"
import { podWalk } from "./support/podWalk.ts"

describe("a pod's walk without faults", () => {
  for (const handler of ["crun", "runc"] as const) {
    for (const cgroups of ["v1", "v2"] as const) {
      it(`leaves nothing behind: ${handler} on cgroup ${cgroups}`, async () => {
        const { failures } = await runScenario(podWalk({ handler, world: { cgroups } }))
        assert.deepStrictEqual(failures, [])
      })
    }
  }

  for (const cgroups of ["v1", "v2"] as const) {
    it(`leaves nothing behind: in a user namespace on cgroup ${cgroups}`, async () => {
      const { failures, log } = await runScenario(podWalk({ userNamespace: true, world: { cgroups } }))
      assert.deepStrictEqual(failures, [])
      const calls = (call: string) => log.filter((line) => line.includes(` ${call} `)).length
      // Of the container's layer and of the image's that is a volume; and of the volume.
      assert.deepStrictEqual([calls("Mounts.bindMapped"), calls("Mounts.canMap")], [2, 1])
    })
  }

  it("whatever the order of tasks, and the same order gives the same log", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const first = await runScenario(podWalk(), { seed })
      assert.deepStrictEqual(first.failures, [], `seed ${seed}`)
      if (seed % 5 > 0) continue
      const second = await runScenario(podWalk(), { seed })
      assert.strictEqual(logHash(first.log), logHash(second.log), `seed ${seed}`)
    }
  })
})
