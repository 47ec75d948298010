/** Clients at a container's streams and at a pod's port, without faults; with them: podWalkPoints.test.ts. */
import { assert, describe, it } from "@effect/vitest"
import { runScenario } from "../world/Simulation.ts"
import { podWalk } from "./support/podWalk.ts"

describe("exec, attach and port forwarding", () => {
  for (const handler of ["crun", "runc"] as const) {
    it(`carry what they are given: ${handler}`, async () => {
      const { failures } = await runScenario(podWalk({ handler, streams: true }))
      assert.deepStrictEqual(failures, [])
    })
  }
})
