/** The pod's walk with a client of every life of the daemon that hears its events. */
import { Effect, Layer, Stream } from "effect"
import type { FaultPlan } from "../../world/Calls.ts"
import { type FaultKind, plannedRuns } from "../../world/plannedRuns.ts"
import { runScenario, type Scenario } from "../../world/Simulation.ts"
import { type EventKind, Events } from "../../../src/pod/Events.ts"
import { podWalk } from "./podWalk.ts"

interface Heard {
  readonly kind: EventKind
  readonly id: string
  readonly isPod: boolean
}

/** The events of one object. */
export const order: ReadonlyArray<EventKind> = ["Created", "Started", "Stopped", "Deleted"]

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

export const byObject = (heard: ReadonlyArray<Heard>) => Map.groupBy(heard, ({ id }) => id)

export const run = async (plan?: FaultPlan) => {
  const { heard, scenario } = listening()
  const result = await runScenario(() => scenario, plan === undefined ? {} : { plan })
  return { heard, result }
}

const steps = ["RunPodSandbox", "CreateContainer", "StartContainer", "StopContainer", "RemoveContainer", "programs"]

/** What is wrong with the events of the walk, with a fault of one kind at every sixth point of it. */
export const eventFaults = async (kind: FaultKind) => {
  const { result: reference } = await run()
  const plans = plannedRuns(reference.records, { kinds: [kind], steps }).map(({ plan }) => plan)
  // Neighbours differ by a call to the disk or two.
  const chosen = plans.filter((_, index) => index % 6 === 0)
  const faults: Array<string> = []
  for (const plan of chosen) {
    const { heard } = await run(plan)
    for (const [id, events] of byObject(heard)) {
      faults.push(
        ...faultsIn(events.map((event) => event.kind)).map((fault) => `${JSON.stringify(plan)} ${id}: ${fault}`)
      )
    }
  }
  return { runs: chosen.length, faults }
}
