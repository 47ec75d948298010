import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Events, type EventKind, type LifeEvent, queueCapacity } from "../../src/pod/Events.ts"
import { containerEvents, podEvents } from "../../src/pod/lifeEvents.ts"
import type { ContainerState } from "../../src/pod/ContainerState.ts"
import { Pods } from "../../src/pod/Pods.ts"
import type { PodState } from "../../src/pod/PodState.ts"
import { containerId, containerRecord, Host, podId, podRecord } from "./support/host.ts"

const short = ({ kind, id }: LifeEvent) => `${id === podId ? "pod" : id.slice(0, 1)} ${kind}`

/** Listens from now on; the answer gives what has come since the last time it was asked. */
const listening = Effect.gen(function* () {
  const heard: Array<LifeEvent> = []
  const fiber = yield* (yield* Events).listen.pipe(
    Stream.runForEach((event) => Effect.sync(() => heard.push(event))),
    Effect.forkChild({ startImmediately: true })
  )
  const news = Effect.map(Effect.repeat(Effect.yieldNow, { times: 20 }), () => heard.splice(0))
  return { news, fiber }
})

const identity = { pid: 100, startTime: 7 }
const exit = { _tag: "Exited", exitCode: 0, finishedAtNs: 8n, reason: "Completed", message: "" } as const
const recovered = Effect.flatMap(Events, (events) => events.recovered)

const provided = (host = new Host()) => Effect.provide(Layer.fresh(host.layer))

describe("events of pods and containers", () => {
  it.effect("each transition once, in order, with the pod and its containers as they are after it", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      yield* recovered
      const { news } = yield* listening
      yield* pods.begin(podRecord({ state: { _tag: "Starting" } }))
      assert.deepStrictEqual(yield* news, [], "what is not listed has no events")
      yield* pods.move(podId, { _tag: "NetworkUp" }, { ips: ["10.0.0.9"] })
      const up = yield* news
      assert.deepStrictEqual(up.map(short), ["pod Created", "pod Started"])
      assert.deepStrictEqual([up[0]?.pod.ips, up[0]?.containers], [["10.0.0.9"], []])

      yield* pods.beginContainer(containerRecord({ state: { _tag: "Creating" } }))
      assert.deepStrictEqual(yield* news, [])
      yield* pods.moveContainer(containerId, { _tag: "Created", ...identity })
      yield* TestClock.adjust("3 seconds")
      yield* pods.moveContainer(containerId, { _tag: "Started", atNs: 5n })
      yield* pods.moveContainer(containerId, { _tag: "StopRequested", deadlineMs: 9 })
      yield* pods.moveContainer(containerId, { _tag: "StopRequested", deadlineMs: 5 })
      yield* pods.moveContainer(containerId, exit)
      yield* pods.moveContainer(containerId, exit)
      const life = yield* news
      assert.deepStrictEqual(life.map(short), ["c Created", "c Started", "c Stopped"])
      assert.deepStrictEqual(
        life.map(({ containers }) => containers.map(({ state }) => state._tag)),
        [["Created"], ["Running"], ["Exited"]]
      )
      assert.deepStrictEqual(
        life.map(({ atNs }) => atNs),
        [0n, 3_000_000_000n, 3_000_000_000n]
      )

      yield* pods.released(containerId, [])
      yield* pods.forget(containerId)
      yield* pods.forget(containerId)
      const removed = yield* news
      assert.deepStrictEqual(removed.map(short), ["c Deleted"])
      assert.deepStrictEqual(removed[0]?.containers, [])
      assert.strictEqual(removed[0]?.pod.metadata.uid, "uid-1")

      yield* pods.move(podId, { _tag: "StopRequested" })
      assert.deepStrictEqual(yield* news, [])
      yield* pods.move(podId, { _tag: "Stopped" })
      yield* pods.forget(podId)
      const gone = yield* news
      assert.deepStrictEqual(gone.map(short), ["pod Stopped", "pod Deleted"])
      assert.isTrue(gone.every(({ pod }) => pod.metadata.uid === "uid-1" && pod.state._tag === "NotReady"))
    }).pipe(provided())
  )

  it.effect("a start that is rolled back is nobody's business; one that cannot be given back is a stop", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      yield* recovered
      const { news } = yield* listening
      yield* pods.begin(podRecord({ state: { _tag: "Starting" } }))
      yield* pods.forget(podId)
      assert.deepStrictEqual(yield* news, [])
      yield* pods.begin(podRecord({ state: { _tag: "Starting" } }))
      yield* pods.move(podId, { _tag: "StartFailed", reason: "no address" })
      assert.deepStrictEqual((yield* news).map(short), ["pod Stopped"])
    }).pipe(provided())
  )

  it.effect("a full disk keeps no end from being told", () => {
    const host = new Host()
    return Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.adopt([podRecord()], [containerRecord()])
      const { news } = yield* listening
      host.diskFull = true
      yield* pods.moveContainer(containerId, exit)
      assert.deepStrictEqual((yield* news).map(short), ["c Stopped"])
    }).pipe(provided(host))
  })

  it.effect("every listener hears all from its own beginning on", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.adopt([podRecord()], [containerRecord({ state: { _tag: "Created", ...identity } })])
      yield* recovered
      const early = yield* listening
      yield* pods.moveContainer(containerId, { _tag: "Started", atNs: 5n })
      const late = yield* listening
      yield* pods.moveContainer(containerId, exit)
      const [fromEarly, fromLate] = [yield* early.news, yield* late.news]
      assert.deepStrictEqual(fromEarly.map(short), ["c Started", "c Stopped"])
      assert.deepStrictEqual(fromLate.map(short), ["c Stopped"])
      assert.strictEqual(fromEarly[1], fromLate[0], "one object for all, which is encoded once")
    }).pipe(provided())
  )
})

describe("after a restart", () => {
  it.effect("those who come within a minute hear what had changed meanwhile, and nothing of what had not", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      const other = containerRecord({ id: "d".repeat(64) })
      yield* pods.adopt([podRecord()], [containerRecord(), other])
      const during = yield* listening
      yield* pods.moveContainer(containerId, exit)
      assert.deepStrictEqual((yield* during.news).map(short), ["c Stopped"])
      yield* recovered
      yield* TestClock.adjust("59 seconds")
      const back = yield* listening
      yield* pods.moveContainer(other.id, exit)
      assert.deepStrictEqual((yield* back.news).map(short), ["c Stopped", "d Stopped"])
      assert.deepStrictEqual((yield* during.news).map(short), ["d Stopped"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* (yield* listening).news, [])
    }).pipe(provided())
  )
})

describe("a listener that does not read", () => {
  it.effect("loses the oldest events, in order, counted, and holds up nobody", () =>
    Effect.gen(function* () {
      const events = yield* Events
      yield* events.recovered
      const seen = { pod: podRecord(), containers: [] }
      const total = queueCapacity + 250
      // The first event wakes its reader, which takes no more.
      const reader = yield* events.listen.pipe(
        Stream.tap(({ id }) => (id === "0" ? Effect.sleep("1 hour") : Effect.void)),
        Stream.take(queueCapacity + 1),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      const quick = yield* listening
      yield* events.publish("Created", "0", () => seen)
      assert.lengthOf(yield* quick.news, 1)
      const before = yield* droppedSoFar
      for (let id = 1; id <= total; id++) {
        yield* events.publish("Started", String(id), () => seen)
        if (id % 100 === 0) yield* quick.news
      }
      yield* TestClock.adjust("1 hour")
      const read = (yield* Fiber.join(reader)).map(({ id }) => Number(id))
      assert.deepStrictEqual(read, [0, ...Array.from({ length: queueCapacity }, (_, index) => index + 251)])
      assert.strictEqual((yield* droppedSoFar) - before, 250)
    }).pipe(provided())
  )

  const droppedSoFar = Effect.map(Metric.snapshot, (all) => {
    const found = all.find(({ id }) => id === "container_runtime_crio_containers_events_dropped_total")
    return Number((found?.state as { readonly count: number } | undefined)?.count ?? 0)
  })

  it.effect("is forgotten when it goes; nothing is made for nobody", () =>
    Effect.gen(function* () {
      const events = yield* Events
      yield* events.recovered
      const { fiber } = yield* listening
      yield* Fiber.interrupt(fiber)
      let asked = 0
      yield* events.publish("Created", "c", () => {
        asked += 1
        return undefined
      })
      assert.strictEqual(asked, 0)
    }).pipe(provided())
  )
})

describe("the daemon's end", () => {
  it.effect("ends every stream, those that begin then too; before that none ends", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const { fiber, news } = yield* listening
      yield* TestClock.adjust("10 hours")
      assert.deepStrictEqual([fiber.pollUnsafe(), yield* news], [undefined, []])
      yield* events.end
      yield* Fiber.join(fiber)
      yield* Stream.runDrain(events.listen)
    }).pipe(provided())
  )
})

describe("events by change of state", () => {
  const pods: Record<PodState["_tag"], PodState> = {
    Starting: { _tag: "Starting" },
    Ready: { _tag: "Ready" },
    Stopping: { _tag: "Stopping" },
    NotReady: { _tag: "NotReady", reason: "stopped" }
  }
  const table: ReadonlyArray<readonly [PodState["_tag"], PodState["_tag"], ReadonlyArray<EventKind>]> = [
    ["Starting", "Ready", ["Created", "Started"]],
    ["Starting", "NotReady", ["Stopped"]],
    ["Ready", "Stopping", []],
    ["Ready", "NotReady", ["Stopped"]],
    ["Stopping", "NotReady", ["Stopped"]],
    ["NotReady", "NotReady", []]
  ]
  for (const [before, after, expected] of table) {
    it(`pod ${before} → ${after}`, () => assert.deepStrictEqual(podEvents(pods[before], pods[after]), expected))
  }

  const times = { startedAtNs: 0n, deadlineMs: 1 }
  const states: Record<string, ContainerState> = {
    Creating: { _tag: "Creating" },
    Created: { _tag: "Created", ...identity },
    Running: { _tag: "Running", ...identity, startedAtNs: 1n },
    Stopping: { _tag: "Stopping", ...identity, ...times },
    Exited: { ...exit, startedAtNs: 0n },
    "Exited after all": { ...exit, startedAtNs: 1n }
  }
  const changes: ReadonlyArray<readonly [string, string, ReadonlyArray<EventKind>]> = [
    ["Creating", "Created", ["Created"]],
    ["Creating", "Exited", ["Stopped"]],
    ["Created", "Running", ["Started"]],
    ["Created", "Stopping", []],
    ["Running", "Stopping", []],
    ["Stopping", "Stopping", []],
    ["Created", "Exited", ["Stopped"]],
    ["Running", "Exited", ["Stopped"]],
    ["Stopping", "Exited", ["Stopped"]],
    ["Exited", "Exited after all", []]
  ]
  for (const [before, after, expected] of changes) {
    it(`container ${before} → ${after}`, () => {
      assert.deepStrictEqual(containerEvents(states[before]!, states[after]!), expected)
    })
  }
})
