/** GetContainerEvents over a real socket. */
import { type ClientReadableStream, status } from "@grpc/grpc-js"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { defaultSettings, patchSettings } from "../../../src/config/document.ts"
import { Settings } from "../../../src/config/Settings.ts"
import { getContainerEvents } from "../../../src/cri/runtime/getContainerEvents.ts"
import { ContainerEventResponse, ContainerEventType, ContainerState } from "../../../src/gen/runtime/v1/api.ts"
import { Events } from "../../../src/pod/Events.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import { containerId, containerRecord, Host, podId, podRecord } from "../../pod/support/host.ts"
import { decodeStrictly } from "../strictUtf8.ts"
import { environment, eventually, LogLines, startServer } from "../support.ts"

const layerWith = (enabled: boolean) =>
  Layer.mergeAll(
    new Host().layer,
    Settings.layer(patchSettings(defaultSettings, { runtime: { enable_pod_events: enabled } })),
    environment()
  )

const serving = Effect.gen(function* () {
  const context = yield* Effect.context<Events | Settings>()
  return yield* startServer({
    runtime: { GetContainerEvents: () => getContainerEvents({}).pipe(Stream.provideContext(context)) },
    recovering: true
  })
})

type Client = Effect.Success<typeof serving>["client"]

/** As a Go client would: the stream's messages and how it ended. */
const listen = (client: Client) => {
  const call = (
    client as unknown as { getContainerEvents(request: object): ClientReadableStream<ContainerEventResponse> }
  ).getContainerEvents({})
  const heard: Array<ContainerEventResponse> = []
  const end: { code: number | undefined; details: string } = { code: undefined, details: "" }
  call.on("data", (event: ContainerEventResponse) => heard.push(event))
  call.on("error", () => {})
  call.on("status", ({ code, details }) => Object.assign(end, { code, details }))
  return { call, heard, end }
}

const exit = { _tag: "Exited", exitCode: 3, finishedAtNs: 8n, reason: "Error", message: "a\ud800b" } as const

describe("GetContainerEvents", () => {
  it.live("says how to switch it on where it is off, with the code from which kubelet falls back", () =>
    Effect.gen(function* () {
      const { client } = yield* serving
      const { end } = listen(client)
      yield* eventually(() => end.code !== undefined)
      assert.strictEqual(end.code, status.UNIMPLEMENTED)
      assert.include(end.details, "enable_pod_events = true")
    }).pipe(Effect.scoped, Effect.provide(layerWith(false)))
  )

  it.live("tells each client, also during the recovery, and goes on when one leaves", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      const { client } = yield* serving
      const [staying, leaving] = [listen(client), listen(client)]
      yield* pods.adopt([podRecord()], [containerRecord()])
      yield* pods.moveContainer(containerId, exit)
      yield* eventually(() => staying.heard.length === 1 && leaving.heard.length === 1)
      const [event] = staying.heard
      assert.deepInclude(event as object, {
        containerId,
        containerEventType: ContainerEventType.CONTAINER_STOPPED_EVENT
      })
      assert.isTrue((event?.createdAt ?? 0n) > 1_700_000_000_000_000_000n)
      assert.deepStrictEqual(event?.podSandboxStatus?.metadata, podRecord().metadata)
      assert.strictEqual(event?.podSandboxStatus?.id, podId)
      const [container] = event?.containersStatuses ?? []
      assert.deepInclude(container as object, { state: ContainerState.CONTAINER_EXITED, exitCode: 3, reason: "Error" })
      assert.strictEqual(container?.message, "a\ufffdb")
      leaving.call.cancel()
      yield* eventually(() => leaving.end.code === status.CANCELLED)
      yield* pods.forget(containerId)
      yield* eventually(() => staying.heard.length === 2)
      assert.deepStrictEqual(
        [staying.heard[1]?.containerEventType, staying.heard[1]?.containersStatuses],
        [ContainerEventType.CONTAINER_DELETED_EVENT, []]
      )
      assert.isUndefined(staying.end.code)
      assert.deepStrictEqual(yield* LogLines, [], "a client that leaves has not failed")
      yield* (yield* Events).end
    }).pipe(Effect.scoped, Effect.provide(layerWith(true)))
  )

  it.live("ends without an error when the daemon does", () =>
    Effect.gen(function* () {
      const { client } = yield* serving
      const { end } = listen(client)
      yield* Effect.sleep("50 millis")
      assert.isUndefined(end.code)
      yield* (yield* Events).end
      yield* eventually(() => end.code !== undefined)
      assert.strictEqual(end.code, status.OK)
    }).pipe(Effect.scoped, Effect.provide(layerWith(true)))
  )

  it.live("a client that does not read stops neither the others nor a pod's lane", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      const { client } = yield* serving
      const large = podRecord({ annotations: { large: "x".repeat(20_000) } })
      yield* pods.adopt([large], [])
      const [deaf, other] = [listen(client), listen(client)]
      const events = yield* Events
      yield* events.publish("Created", "0", () => ({ pod: large, containers: [] }))
      yield* events.recovered
      yield* eventually(() => deaf.heard.length === 1 && other.heard.length === 1)
      deaf.call.pause()
      // Some 60 MB: more than all the buffers between the two.
      const total = 3000
      for (let index = 1; index < total; index++) {
        yield* events.publish("Started", String(index), () => ({ pod: large, containers: [] }))
        if (index % 200 === 0) yield* eventually(() => other.heard.length > index - 200)
      }
      yield* eventually(() => other.heard.length === total)
      deaf.call.resume()
      yield* eventually(() => deaf.heard.at(-1)?.containerId === String(total - 1))
      const heard = deaf.heard.map((event) => Number(event.containerId))
      assert.isBelow(heard.length, total)
      assert.deepStrictEqual(
        heard,
        heard.toSorted((a, b) => a - b)
      )
      assert.strictEqual(new Set(heard).size, heard.length)
      assert.isTrue((yield* LogLines).some((line) => line.includes("has not read 1000 events")))
      assert.isTrue((yield* LogLines).some((line) => line.includes(`has missed ${total - heard.length} events`)))
      yield* events.end
    }).pipe(Effect.scoped, Effect.provide(layerWith(true)))
  )

  it.effect("is valid UTF-8 whatever labels say", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.adopt([podRecord({ labels: { "\ud800": "\udfff" } })], [containerRecord()])
      yield* pods.moveContainer(containerId, exit)
      yield* (yield* Events).recovered
      const [message] = yield* getContainerEvents({}).pipe(Stream.take(1), Stream.runCollect)
      decodeStrictly(ContainerEventResponse, message!.bytes)
    }).pipe(Effect.provide(layerWith(true)))
  )
})
