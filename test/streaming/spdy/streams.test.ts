import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { headersOf, settle, startConnection, textOf, utf8 } from "./support.ts"

describe("streams of a connection", () => {
  it.effect("are answered before they are handed on, in the order of their opening", () =>
    Effect.gen(function* () {
      const { client, accept } = yield* startConnection()
      yield* client.stopReading
      yield* client.open({ streamtype: "error" })
      yield* client.open({ streamtype: "data" })
      const first = yield* Effect.forkChild(accept, { startImmediately: true })
      yield* settle
      assert.isUndefined(first.pollUnsafe())
      yield* client.goOnReading
      const stream = yield* Fiber.join(first)
      assert.strictEqual(stream.id, 1)
      assert.deepStrictEqual(stream.headers, headersOf({ streamtype: "error" }))
      assert.strictEqual((yield* accept).id, 3)
      assert.strictEqual((yield* client.next)._tag, "SynReply")
    }).pipe(Effect.scoped)
  )

  it.effect("carry data both ways, apart from each other", () =>
    Effect.gen(function* () {
      const { client, open } = yield* startConnection()
      const [a, b] = [yield* open, yield* open]
      yield* client.data(a.id, "to ")
      yield* client.data(b.id, "other", true)
      yield* client.data(a.id, "a", true)
      assert.strictEqual(yield* textOf(a), "to a")
      assert.strictEqual(yield* textOf(b), "other")
      yield* b.write(Buffer.from("from b"))
      yield* b.end
      const data = yield* client.next
      assert.deepStrictEqual(data._tag === "Data" && [data.streamId, utf8(data.data), data.fin], [
        b.id,
        "from b",
        false
      ])
      const fin = yield* client.next
      assert.deepStrictEqual(fin._tag === "Data" && [fin.streamId, fin.data.length, fin.fin], [b.id, 0, true])
      yield* b.closed
    }).pipe(Effect.scoped)
  )

  it.effect("go on in one direction after the other has ended", () =>
    Effect.gen(function* () {
      const { client, open } = yield* startConnection()
      const stream = yield* open
      yield* client.data(stream.id, "", true)
      assert.strictEqual(yield* textOf(stream), "")
      yield* stream.write(Buffer.from("still here"))
      assert.strictEqual((yield* client.next)._tag, "Data")
      yield* stream.end
      yield* client.next
      yield* stream.write(Buffer.from("too late"))
      yield* stream.end
      // Nothing of that was sent.
      yield* client.sendFrame({ _tag: "Ping", id: 1 })
      assert.strictEqual((yield* client.next)._tag, "Ping")
    }).pipe(Effect.scoped)
  )

  it.effect("can be ended by their first or a later header block", () =>
    Effect.gen(function* () {
      const { client, accept, open } = yield* startConnection()
      yield* client.open({}, true)
      assert.strictEqual(yield* textOf(yield* accept), "")
      yield* client.next
      const stream = yield* open
      yield* client.sendFrame({ _tag: "Headers", streamId: stream.id, fin: true, headers: new Map() })
      assert.strictEqual(yield* textOf(stream), "")
    }).pipe(Effect.scoped)
  )

  it.effect("fail for their reader when the client resets them, and take what is still written", () =>
    Effect.gen(function* () {
      const { client, open } = yield* startConnection()
      const stream = yield* open
      const reader = yield* Effect.forkChild(Effect.flip(textOf(stream)), { startImmediately: true })
      yield* client.reset(stream.id)
      assert.include((yield* Fiber.join(reader)).message, "the client reset the stream")
      yield* stream.closed
      yield* stream.write(Buffer.from("lost"))
      yield* stream.end
      yield* stream.reset
      yield* client.data(stream.id, "crossing")
      yield* client.sendFrame({ _tag: "Ping", id: 7 })
      assert.deepStrictEqual(yield* client.next, { _tag: "Ping", id: 7 })
    }).pipe(Effect.scoped)
  )

  it.effect("are reset for the client once, and free their place", () =>
    Effect.gen(function* () {
      const { client, open, accept } = yield* startConnection({ maxStreams: 1 })
      const stream = yield* open
      yield* client.open({})
      assert.deepStrictEqual(yield* client.next, { _tag: "RstStream", streamId: 3, status: 3 })
      yield* stream.reset
      yield* stream.reset
      assert.deepStrictEqual(yield* client.next, { _tag: "RstStream", streamId: 1, status: 5 })
      yield* client.open({})
      assert.strictEqual((yield* accept).id, 5)
    }).pipe(Effect.scoped)
  )

  it.effect("that make no sense are refused", () =>
    Effect.gen(function* () {
      const { client, accept } = yield* startConnection({ accepts: (kind) => kind === "good" })
      yield* client.open({ kind: "bad" })
      assert.deepStrictEqual(yield* client.next, { _tag: "RstStream", streamId: 1, status: 1 })
      yield* client.open({ kind: "good" })
      assert.strictEqual((yield* accept).id, 3)
      yield* client.next
      yield* client.sendFrame({
        _tag: "SynStream",
        streamId: 5,
        fin: false,
        unidirectional: true,
        headers: headersOf({ kind: "good" })
      })
      assert.deepStrictEqual(yield* client.next, { _tag: "RstStream", streamId: 5, status: 1 })
      yield* client.data(99, "never opened")
      assert.deepStrictEqual(yield* client.next, { _tag: "RstStream", streamId: 99, status: 2 })
    }).pipe(Effect.scoped)
  )
})
