/**
 * Events of the pod's walk, heard by a client of every life of the daemon: whatever strikes, no transition is told twice
 * and none before the one that it follows; without a fault each one is told.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import type { Fault, FaultPlan } from "../world/Calls.ts"
import { plansFor } from "../world/exhaust.ts"
import { runScenario, type Scenario } from "../world/Simulation.ts"
import { type EventKind, Events } from "../../src/pod/Events.ts"
import { podWalk } from "./support/podWalk.ts"

interface Heard {
  readonly kind: EventKind
  readonly id: string
  readonly isPod: boolean
}

const order: ReadonlyArray<EventKind> = ["Created", "Started", "Stopped", "Deleted"]

const listening = () => {
  const heard: Array<Heard> = []
  const walk = podWalk()()
  type Services = typeof walk extends Scenario<infer S> ? S : never
  const listen = Layer.effectDiscard(
    Effect.flatMap(Events, (events) =>
      Effect.forkScoped(
        Stream.runForEach(events.listen, ({ kind, id, pod }) =>
          Effect.sync(() => heard.push({ kind, id, isPod: id === pod.id }))
        ),
        { startImmediately: true }
      )
    )
  )
  const scenario: Scenario<Services> = {
    ...walk,
    daemon: (seam) => listen.pipe(Layer.provideMerge(walk.daemon(seam)))
  }
  return { heard, scenario }
}

/** What is wrong with the events of one object. */
const faultsIn = (kinds: ReadonlyArray<EventKind>): ReadonlyArray<string> => {
  const places = kinds.map((kind) => order.indexOf(kind))
  const faults: Array<string> = []
  if (new Set(kinds).size < kinds.length) faults.push(`told twice: ${kinds.join()}`)
  if (places.some((place, index) => place < (places[index - 1] ?? -1))) faults.push(`out of order: ${kinds.join()}`)
  return faults
}

const byObject = (heard: ReadonlyArray<Heard>) => Map.groupBy(heard, ({ id }) => id)

const run = async (plan?: FaultPlan) => {
  const { heard, scenario } = listening()
  const result = await runScenario(() => scenario, plan === undefined ? {} : { plan })
  return { heard, result }
}

describe("events of a pod's walk", () => {
  it("are all told, once and in order", async () => {
    const { heard, result } = await run()
    assert.deepStrictEqual(result.failures, [])
    const objects = [...byObject(heard).values()]
    assert.lengthOf(objects, 2)
    for (const events of objects) {
      assert.deepStrictEqual(
        events.map(({ kind }) => kind),
        order
      )
    }
  })

  for (const kind of ["crash", "cancel", "terminate", "kill"] satisfies ReadonlyArray<Fault["kind"]>) {
    it(`none is told twice or too early: ${kind}`, async () => {
      const { result: reference } = await run()
      const steps = [
        "RunPodSandbox",
        "CreateContainer",
        "StartContainer",
        "StopContainer",
        "RemoveContainer",
        "programs"
      ]
      const plans = plansFor(reference.records, { make: podWalk(), kinds: [kind], steps })
      // Every sixth point: neighbours differ by a call to the disk or two.
      const chosen = plans.filter((_, index) => index % 6 === 0)
      assert.isAbove(chosen.length, 2)
      for (const plan of chosen) {
        const { heard } = await run(plan)
        for (const [id, events] of byObject(heard)) {
          const faults = faultsIn(events.map((event) => event.kind))
          assert.deepStrictEqual(faults, [], `${JSON.stringify(plan)} ${id}`)
        }
      }
    })
  }
})
