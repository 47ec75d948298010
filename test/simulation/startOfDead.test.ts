/** Containers whose process dies after the runtime has looked for it and before it has let it go. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, type Exit, Fiber } from "effect"
import { runScenario } from "../world/Simulation.ts"
import type { World } from "../world/World.ts"
import { Kubelet } from "./support/kubelet.ts"
import { podWalk } from "./support/podWalk.ts"
import { shortWalk } from "./support/shortWalk.ts"

const killFirst = ({ processes, cgroupRoots }: World, containerId: string) => {
  const [hierarchy = ""] = cgroupRoots.keys()
  for (const process of processes.all.values()) {
    const isOurs = process.cgroups.get(hierarchy)?.path.includes(containerId) === true
    if (process.exit !== undefined || !isOurs) continue
    processes.signal(process, 9)
    return
  }
}

/** What a start answers when its container's process dies under it, and after how long; `remove`: it is removed then. */
const startOfDead = async (handler: "crun" | "runc", remove: boolean) => {
  const kubelet = new Kubelet({ imageName: "registry.test/library/busybox:1", args: ["sh", "-c", "sleep 3600"] })
  let answer: Exit.Exit<unknown, unknown> | undefined
  let tookMs = 0
  let world: World | undefined
  const walk = podWalk({ handler })()
  const start = Effect.gen(function* () {
    const begunMs = yield* Clock.currentTimeMillis
    const starting = yield* Effect.forkChild(kubelet.startContainer, { startImmediately: true })
    if (remove) {
      yield* Effect.sleep(1)
      yield* kubelet.removeContainer
    }
    answer = yield* Fiber.await(starting)
    tookMs = (yield* Clock.currentTimeMillis) - begunMs
  })
  const { failures } = await runScenario(() => ({
    ...walk,
    world: (seed) => {
      world = walk.world(seed)
      const { calls } = world
      calls.draw = ({ service, operation, subject }) => {
        if (service === "program" && operation.endsWith("start") && subject.includes(" start "))
          killFirst(world as World, kubelet.containerId)
        return undefined
      }
      return world
    },
    steps: shortWalk(kubelet, { name: "StartContainer", run: start })
  }))
  assert.deepStrictEqual(failures, [])
  assert.isDefined(answer)
  return { answer, tookMs }
}

describe("the start of a process that has died", () => {
  for (const handler of ["crun", "runc"] as const) {
    it(`${handler}: is answered, although the runtime may wait for ever`, async () => {
      const { answer } = await startOfDead(handler, false)
      assert.match(String(answer), /has ended|already dead/)
    })

    // Whichever came first: both answers are true.
    it(`${handler}: is answered at once when the container is removed`, async () => {
      const { tookMs } = await startOfDead(handler, true)
      assert.isBelow(tookMs, 1000)
    })
  }
})
