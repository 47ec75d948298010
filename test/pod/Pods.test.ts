import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Pods } from "../../src/pod/Pods.ts"
import { Records } from "../../src/pod/Records.ts"
import { containerId, containerRecord, Host, podId, podRecord } from "./support/host.ts"

const setUp = () => {
  const host = new Host()
  const layer = Pods.layer.pipe(Layer.provideMerge(host.records))
  return { host, layer }
}

const creating = containerRecord({ state: { _tag: "Creating" } })

describe("Pods", () => {
  it.effect("a record is written before anybody can see it", () => {
    const { host, layer } = setUp()
    return Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.begin(podRecord({ state: { _tag: "Starting" } }))
      assert.deepStrictEqual(host.saved.get(podId)?.state, { _tag: "Starting" })
      yield* pods.move(podId, { _tag: "NetworkUp" }, { ips: ["10.0.0.9"] })
      assert.deepInclude(host.saved.get(podId), { state: { _tag: "Ready" }, ips: ["10.0.0.9"] })
      assert.strictEqual((yield* pods.pod(podId)).state._tag, "Ready")
    }).pipe(Effect.provide(layer))
  })

  it.effect("what could not be written is not there", () => {
    const { host, layer } = setUp()
    host.diskFull = true
    return Effect.gen(function* () {
      const pods = yield* Pods
      const error = yield* Effect.flip(pods.begin(podRecord({ state: { _tag: "Starting" } })))
      assert.strictEqual(error._tag, "RecordError")
      assert.strictEqual((yield* pods.snapshot).pods.size, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a full disk does not keep anything from being stopped, but from being started", () => {
    const { host, layer } = setUp()
    host.diskFull = true
    return Effect.gen(function* () {
      const pods = yield* Pods
      const created = { _tag: "Created", pid: 1, startTime: 2 } as const
      yield* pods.adopt([podRecord()], [containerRecord({ state: created })])
      const error = yield* Effect.flip(pods.moveContainer(containerId, { _tag: "Started", atNs: 1n }))
      assert.strictEqual(error._tag, "RecordError")
      yield* pods.move(podId, { _tag: "StopRequested" })
      yield* pods.moveContainer(containerId, { _tag: "StopRequested", deadlineMs: 5 })
      const exit = { _tag: "Exited", exitCode: 0, finishedAtNs: 9n, reason: "Completed", message: "" } as const
      yield* pods.moveContainer(containerId, exit)
      yield* pods.move(podId, { _tag: "Stopped" })
      assert.strictEqual((yield* pods.container(containerId)).state._tag, "Exited")
      assert.strictEqual((yield* pods.pod(podId)).state._tag, "NotReady")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a refused change says in words what cannot be done, and why", () => {
    const { layer } = setUp()
    return Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.adopt([podRecord()], [containerRecord()])
      const error = yield* Effect.flip(pods.moveContainer(containerId, { _tag: "Started", atNs: 1n }))
      assert.strictEqual(error.message, `cannot start container ${containerId}: it is Running`)
    }).pipe(Effect.provide(layer))
  })

  it.effect("refuses a taken name with its holder's id, and frees it when the holder is forgotten", () => {
    const { layer } = setUp()
    const other = "b".repeat(64)
    return Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.begin(podRecord())
      const error = yield* Effect.flip(pods.begin(podRecord({ id: other })))
      assert.strictEqual(error._tag, "NameReserved")
      assert.include(error.message, podId)
      yield* pods.forget(podId)
      yield* pods.begin(podRecord({ id: other }))
    }).pipe(Effect.provide(layer))
  })

  it.effect("containers are made in Ready pods only", () => {
    const { layer } = setUp()
    return Effect.gen(function* () {
      const pods = yield* Pods
      assert.strictEqual((yield* Effect.flip(pods.beginContainer(creating)))._tag, "PodNotFound")
      yield* pods.adopt([podRecord({ state: { _tag: "Stopping" } })], [])
      const error = yield* Effect.flip(pods.beginContainer(creating))
      assert.strictEqual(error._tag, "WrongState")
      assert.include(error.message, "the pod is Stopping")
      yield* pods.adopt([podRecord()], [])
      yield* pods.beginContainer(creating)
      assert.isTrue((yield* pods.snapshot).containers.has(containerId))
    }).pipe(Effect.provide(layer))
  })

  it.effect("one change of a pod at a time; reads and other pods do not wait", () => {
    const other = "b".repeat(64)
    const order: Array<string> = []
    return Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const save = (id: string, what: string) =>
        Effect.gen(function* () {
          order.push(`begin ${what}`)
          if (id === podId && what === "Stopping") yield* Deferred.await(gate)
          order.push(`end ${what}`)
        })
      const records = Layer.mock(Records, {
        savePod: ({ id, state }) => save(id, id === podId ? state._tag : "other"),
        saveContainer: ({ podId: owner, state }) => save(owner, `container ${state._tag}`)
      })
      yield* Effect.gen(function* () {
        const pods = yield* Pods
        yield* pods.adopt([podRecord(), podRecord({ id: other, name: "other" })], [containerRecord()])
        const first = yield* Effect.forkChild(pods.move(podId, { _tag: "StopRequested" }), { startImmediately: true })
        const second = yield* Effect.forkChild(
          pods.moveContainer(containerId, { _tag: "StopRequested", deadlineMs: 5 }),
          { startImmediately: true }
        )
        yield* pods.move(other, { _tag: "StopRequested" })
        assert.strictEqual((yield* pods.pod(podId)).state._tag, "Ready")
        // A change that has begun is finished, whoever leaves.
        const leaving = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(leaving)
        yield* Fiber.join(second)
        assert.deepStrictEqual(order, [
          "begin Stopping",
          "begin other",
          "end other",
          "end Stopping",
          "begin container Stopping",
          "end container Stopping"
        ])
        assert.strictEqual((yield* pods.pod(podId)).state._tag, "Stopping")
      }).pipe(Effect.provide(Pods.layer.pipe(Layer.provideMerge(records))))
    })
  })

  it.effect("an event that changes nothing writes nothing", () => {
    const { host, layer } = setUp()
    return Effect.gen(function* () {
      const pods = yield* Pods
      const exit = { _tag: "Exited", exitCode: 1, finishedAtNs: 9n, reason: "Error", message: "" } as const
      yield* pods.adopt([podRecord()], [containerRecord()])
      yield* pods.moveContainer(containerId, exit)
      host.saved.clear()
      yield* pods.moveContainer(containerId, { ...exit, exitCode: 2 })
      assert.strictEqual(host.saved.size, 0)
      assert.deepInclude((yield* pods.container(containerId)).state, { exitCode: 1 })
    }).pipe(Effect.provide(layer))
  })

  it.effect("rows go one by one; an owner that is gone has none", () => {
    const { host, layer } = setUp()
    return Effect.gen(function* () {
      const pods = yield* Pods
      const [layerRow, runtimeRow] = containerRecord().resources
      yield* pods.adopt([podRecord()], [containerRecord()])
      yield* pods.released(containerId, [runtimeRow!])
      assert.deepStrictEqual(host.saved.get(containerId)?.resources, [layerRow!])
      yield* pods.forget(containerId)
      assert.isFalse(host.saved.has(containerId))
      yield* pods.released(containerId, [layerRow!])
      assert.isFalse(host.saved.has(containerId))
    }).pipe(Effect.provide(layer))
  })

  it.effect("whoever waits for a container is woken by each change, and told when it goes", () => {
    const { layer } = setUp()
    return Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.adopt([podRecord()], [containerRecord()])
      const wait = (state: string) =>
        Effect.forkChild(Effect.exit(pods.awaitContainer(containerId, (container) => container.state._tag === state)), {
          startImmediately: true
        })
      const stopping = yield* wait("Stopping")
      const exited = yield* wait("Exited")
      yield* pods.moveContainer(containerId, { _tag: "StopRequested", deadlineMs: 1 })
      assert.strictEqual((yield* Fiber.join(stopping))._tag, "Success")
      assert.isUndefined(exited.pollUnsafe())
      yield* pods.forget(containerId)
      const end = yield* Fiber.join(exited)
      assert.include(String(end), "ContainerNotFound")
    }).pipe(Effect.provide(layer))
  })
})
