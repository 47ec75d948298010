import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Forward } from "../../../src/streaming/Session.ts"
import { spdyPortForward } from "../../../src/streaming/spdy/portForward.ts"
import { makePipe, settle, utf8 } from "./support.ts"

const start = Effect.gen(function* () {
  const { connection, client } = yield* makePipe
  const session = yield* spdyPortForward(connection, { creationTimeoutMs: 30_000 })
  const forwards = yield* Queue.unbounded<Forward>()
  const served = yield* session.forwards.pipe(
    Stream.runForEach((forward) => Queue.offer(forwards, forward)),
    Effect.forkScoped
  )
  const open = (streamtype: string, port: string, requestid?: string) =>
    client.open({ streamtype, port, ...(requestid === undefined ? {} : { requestid }) })
  /** As client-go does it, with both streams answered. */
  const connect = (port: number, requestId: string) =>
    Effect.gen(function* () {
      const error = yield* open("error", String(port), requestId)
      yield* client.next
      yield* client.data(error, "", true)
      const data = yield* open("data", String(port), requestId)
      yield* client.next
      return { forward: yield* Queue.take(forwards), error, data }
    })
  return { client, session, served, forwards, open, connect }
})

const incomingOf = (forward: Forward) =>
  forward.incoming.pipe(
    Stream.runFold(
      () => "",
      (text, data: Uint8Array) => text + utf8(data)
    )
  )

describe("port forwarding over SPDY", () => {
  it.effect("forwards many connections, each with its port and its bytes", () =>
    Effect.gen(function* () {
      const { client, connect } = yield* start
      const a = yield* connect(80, "0")
      const b = yield* connect(8080, "1")
      assert.deepStrictEqual([a.forward.port, b.forward.port], [80, 8080])
      yield* client.data(b.data, "to b", true)
      yield* client.data(a.data, "to a", true)
      assert.strictEqual(yield* incomingOf(a.forward), "to a")
      assert.strictEqual(yield* incomingOf(b.forward), "to b")
      yield* a.forward.write(Buffer.from("from a"))
      const frame = yield* client.next
      assert.deepStrictEqual(frame._tag === "Data" && [frame.streamId, utf8(frame.data)], [a.data, "from a"])
    }).pipe(Effect.scoped)
  )

  it.effect("pairs streams that come in any order and mixed", () =>
    Effect.gen(function* () {
      const { open, forwards } = yield* start
      yield* open("data", "1001", "x")
      yield* open("error", "1002", "y")
      yield* open("error", "1001", "x")
      yield* open("data", "1002", "y")
      assert.strictEqual((yield* Queue.take(forwards)).port, 1001)
      assert.strictEqual((yield* Queue.take(forwards)).port, 1002)
    }).pipe(Effect.scoped)
  )

  it.effect("pairs streams without a name by their ids, as old clients open them", () =>
    Effect.gen(function* () {
      const { open, forwards } = yield* start
      yield* open("error", "80")
      yield* open("data", "80")
      yield* open("error", "81")
      // A name that looks like an id is none.
      yield* open("data", "99", "5")
      yield* open("data", "82")
      yield* settle
      assert.strictEqual((yield* Queue.take(forwards)).port, 80)
      assert.strictEqual(yield* Queue.size(forwards), 0)
    }).pipe(Effect.scoped)
  )

  it.effect("lets a name be used again", () =>
    Effect.gen(function* () {
      const { connect } = yield* start
      const first = yield* connect(80, "7")
      const second = yield* connect(81, "7")
      assert.deepStrictEqual([first.forward.port, second.forward.port], [80, 81])
    }).pipe(Effect.scoped)
  )

  it.effect("resets streams whose headers make no pair", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start
      for (const [type, port] of [
        ["data", "0"],
        ["data", "65536"],
        ["error", "http"],
        ["error", "-80"],
        ["error", ""],
        ["error", "80 "],
        ["stdin", "80"]
      ] as const) {
        const streamId = yield* open(type, port, "0")
        assert.deepStrictEqual(yield* client.next, { _tag: "RstStream", streamId, status: 1 }, `${type} ${port}`)
      }
      yield* client.open({ streamtype: "data" })
      assert.strictEqual((yield* client.next)._tag, "RstStream")
      yield* open("data", "65535", "0")
      assert.strictEqual((yield* client.next)._tag, "SynReply")
      const second = yield* open("data", "80", "0")
      assert.strictEqual((yield* client.next)._tag, "SynReply")
      assert.deepStrictEqual(yield* client.next, { _tag: "RstStream", streamId: second, status: 5 })
    }).pipe(Effect.scoped)
  )

  it.effect("ends the error stream when both directions are over", () =>
    Effect.gen(function* () {
      const { client, connect } = yield* start
      const { forward, error, data } = yield* connect(80, "0")
      yield* forward.endWrite
      const fin = yield* client.next
      assert.deepStrictEqual(fin._tag === "Data" && [fin.streamId, fin.fin], [data, true])
      yield* client.data(data, "bye", true)
      assert.strictEqual(yield* incomingOf(forward), "bye")
      const last = yield* client.next
      assert.deepStrictEqual(last._tag === "Data" && [last.streamId, last.fin, last.data.length], [error, true, 0])
      yield* forward.close
    }).pipe(Effect.scoped)
  )

  it.effect("ends the error stream when the client resets the data, and fails its reader", () =>
    Effect.gen(function* () {
      const { client, connect } = yield* start
      const { forward, error, data } = yield* connect(80, "0")
      yield* client.reset(data)
      const last = yield* client.next
      assert.deepStrictEqual(last._tag === "Data" && [last.streamId, last.fin], [error, true])
      assert.include((yield* Effect.flip(incomingOf(forward))).message, "the client reset the stream")
    }).pipe(Effect.scoped)
  )

  it.effect("leaves no stream open with a client that half-closes none", () =>
    Effect.gen(function* () {
      const { client, open, forwards } = yield* start
      const error = yield* open("error", "80", "0")
      const data = yield* open("data", "80", "0")
      yield* client.next
      yield* client.next
      const forward = yield* Queue.take(forwards)
      yield* forward.close
      const frames = [yield* client.next, yield* client.next, yield* client.next, yield* client.next]
      for (const id of [data, error]) {
        const ofStream = frames.filter((frame) => "streamId" in frame && frame.streamId === id)
        assert.deepStrictEqual(
          ofStream.map((frame) => (frame._tag === "Data" && frame.fin ? "FIN" : frame._tag)),
          ["FIN", "RstStream"]
        )
      }
      yield* forward.close
    }).pipe(Effect.scoped)
  )

  it.effect("says why a connection failed, then ends both streams", () =>
    Effect.gen(function* () {
      const { client, connect } = yield* start
      const { forward, error, data } = yield* connect(80, "0")
      yield* forward.fail("error forwarding port 80: connection refused")
      const text = yield* client.next
      assert.deepStrictEqual(text._tag === "Data" && [text.streamId, utf8(text.data)], [
        error,
        "error forwarding port 80: connection refused"
      ])
      const ends = [yield* client.next, yield* client.next, yield* client.next]
      assert.deepStrictEqual(
        ends.map((frame) => (frame._tag === "Data" || frame._tag === "RstStream" ? [frame._tag, frame.streamId] : [])),
        [
          ["Data", error],
          ["Data", data],
          ["RstStream", data]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("does not stop at what failed connections had been sent and nobody has read", () =>
    Effect.gen(function* () {
      const { client, connect } = yield* start
      for (let index = 0; index < 20; index++) {
        const { forward, data } = yield* connect(80, String(index))
        yield* client.data(data, Buffer.alloc(200_000), true)
        yield* client.sendFrame({ _tag: "Ping", id: 1 })
        yield* client.next
        yield* forward.fail("refused")
        while ((yield* client.next)._tag !== "Data");
        while ((yield* client.next)._tag !== "Data");
        while ((yield* client.next)._tag !== "Data");
      }
    }).pipe(Effect.scoped)
  )

  it.effect("gives half a pair up in time, with a text where there is somewhere to write it", () =>
    Effect.gen(function* () {
      const { client, open, forwards } = yield* start
      const error = yield* open("error", "80", "a")
      const data = yield* open("data", "81", "b")
      yield* client.next
      yield* client.next
      yield* settle
      yield* TestClock.adjust("30 seconds")
      const frames = [yield* client.next, yield* client.next, yield* client.next, yield* client.next]
      const ofError = frames.filter((frame) => "streamId" in frame && frame.streamId === error)
      assert.deepStrictEqual(
        ofError.map((frame) => (frame._tag === "Data" ? utf8(frame.data) : frame._tag)),
        ["error forwarding port 80: the client did not open the data stream of request a in time", "", "RstStream"]
      )
      assert.deepInclude(frames, { _tag: "RstStream", streamId: data, status: 5 })
      // The halves are forgotten: what comes now begins a new pair.
      yield* open("data", "80", "a")
      yield* settle
      assert.strictEqual(yield* Queue.size(forwards), 0)
    }).pipe(Effect.scoped)
  )

  it.effect("leaves a pair that is complete alone, and drops what comes on its error stream", () =>
    Effect.gen(function* () {
      const { client, open, forwards } = yield* start
      const data = yield* open("data", "80", "a")
      const error = yield* open("error", "80", "a")
      const forward = yield* Queue.take(forwards)
      yield* TestClock.adjust("10 minutes")
      for (let index = 0; index < 5; index++) yield* client.data(error, Buffer.alloc(900_000))
      yield* client.data(data, "late", true)
      assert.strictEqual(yield* incomingOf(forward), "late")
    }).pipe(Effect.scoped)
  )

  it.effect("forgets half a pair that the client resets", () =>
    Effect.gen(function* () {
      const { client, open, forwards } = yield* start
      const data = yield* open("data", "81", "b")
      yield* client.next
      yield* client.reset(data)
      yield* settle
      yield* open("error", "82", "b")
      yield* open("data", "82", "b")
      assert.strictEqual((yield* Queue.take(forwards)).port, 82)
    }).pipe(Effect.scoped)
  )

  it.effect("ends with its client, and closes on demand", () =>
    Effect.gen(function* () {
      const one = yield* start
      const { forward } = yield* one.connect(80, "0")
      yield* one.client.close
      yield* Fiber.join(one.served)
      yield* one.session.gone
      assert.include((yield* Effect.flip(incomingOf(forward))).message, "the client closed the connection")

      const two = yield* start
      const { data } = yield* two.connect(80, "0")
      yield* two.session.close
      yield* Fiber.join(two.served)
      const frames = yield* two.client.rest
      assert.deepInclude(frames, { _tag: "RstStream", streamId: data, status: 5 })
      assert.include(
        frames.map((frame) => frame._tag),
        "GoAway"
      )
    }).pipe(Effect.scoped)
  )
})
