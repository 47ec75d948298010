import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { SpdyStream } from "../../../src/streaming/spdy/Connection.ts"
import { encodeData } from "../../../src/streaming/spdy/frames.ts"
import { maxStreamBuffer } from "../../../src/streaming/spdy/limits.ts"
import { kib, settle, startConnection, textOf, utf8 } from "./support.ts"

describe("a connection", () => {
  it.effect("answers PINGs of the client and no others, and ignores settings and windows", () =>
    Effect.gen(function* () {
      const { client } = yield* startConnection()
      yield* client.sendFrame({ _tag: "Settings", count: 3 })
      yield* client.sendFrame({ _tag: "WindowUpdate", streamId: 1, delta: 1 })
      yield* client.sendFrame({ _tag: "Ping", id: 2 })
      yield* client.sendFrame({ _tag: "Ping", id: 3 })
      assert.deepStrictEqual(yield* client.next, { _tag: "Ping", id: 3 })
    }).pipe(Effect.scoped)
  )

  it.effect("closes in order: resets what is unfinished, says goodbye, ends", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* startConnection()
      const [a, b] = [yield* open, yield* open]
      yield* a.end
      yield* client.next
      yield* spdy.close
      assert.deepStrictEqual(yield* client.rest, [
        { _tag: "RstStream", streamId: b.id, status: 5 },
        { _tag: "GoAway", lastStreamId: 3, status: 0 }
      ])
      yield* spdy.gone
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Queue.take(spdy.streams))))
      assert.include((yield* Effect.flip(textOf(b))).message, "was closed")
      // The client has not heard yet; what it says is taken from the pipe all the same.
      const before = { taken: client.taken(), held: process.memoryUsage().arrayBuffers }
      const data = encodeData(a.id, kib(1024), false)
      for (let index = 0; index < 60; index++) yield* client.send(data)
      yield* settle
      assert.strictEqual(client.taken() - before.taken, 60 * data.length)
      assert.isBelow(process.memoryUsage().arrayBuffers - before.held, 20 * 1024 * 1024)
    }).pipe(Effect.scoped)
  )

  it.effect("closes although it waits for readers of streams that are over", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* startConnection()
      const streams = yield* Effect.forEach(Array.from({ length: 12 }), () => open)
      for (const stream of streams) yield* stream.end
      const flood = yield* Effect.forEach(streams, ({ id }) => client.data(id, kib(200), true)).pipe(
        Effect.andThen(client.sendFrame({ _tag: "Ping", id: 1 })),
        Effect.andThen(client.sendFrame({ _tag: "Ping", id: 1 })),
        Effect.forkScoped
      )
      yield* settle
      assert.isUndefined(flood.pollUnsafe())
      // A client that must write before it reads.
      yield* client.stopReading
      yield* Effect.forkScoped(spdy.close)
      yield* Fiber.join(flood)
    }).pipe(Effect.scoped)
  )

  it.effect("asks whether the client is there while nobody reads what it sends, and only then", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* startConnection()
      const stream = yield* open
      const flood = yield* Effect.forkScoped(client.data(stream.id, Buffer.alloc(2 * maxStreamBuffer), true))
      yield* settle
      const asked = yield* Effect.forkChild(client.next, { startImmediately: true })
      yield* TestClock.adjust("4900 millis")
      yield* settle
      assert.isUndefined(asked.pollUnsafe())
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(yield* Fiber.join(asked), { _tag: "Settings", count: 0 })
      assert.lengthOf(yield* textOf(stream), 2 * maxStreamBuffer)
      yield* Fiber.join(flood)
      yield* TestClock.adjust("1 minute")
      yield* settle
      yield* stream.end
      assert.strictEqual((yield* client.next)._tag, "Data")
      yield* spdy.close
    }).pipe(Effect.scoped)
  )

  it.effect("opens nothing after the client's goodbye, and ends with the last stream", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* startConnection()
      const stream = yield* open
      yield* client.goAway
      yield* client.open({})
      yield* client.data(stream.id, "last words", true)
      assert.strictEqual(yield* textOf(stream), "last words")
      yield* stream.write(Buffer.from("answer"))
      assert.strictEqual((yield* client.next)._tag, "Data")
      yield* stream.end
      yield* client.next
      yield* spdy.gone
      assert.deepStrictEqual(yield* client.rest, [{ _tag: "GoAway", lastStreamId: 3, status: 0 }])
    }).pipe(Effect.scoped)
  )

  it.effect("gives what had come and then fails, when the client is gone", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* startConnection()
      const stream = yield* open
      yield* client.data(stream.id, "half a ")
      yield* client.close
      yield* spdy.gone
      const seen: Array<string> = []
      const error = yield* Effect.flip(
        Stream.runForEach(stream.incoming, (data) => Effect.sync(() => seen.push(utf8(data))))
      )
      assert.deepStrictEqual(seen, ["half a "])
      assert.include(error.message, "the client closed the connection")
      assert.include((yield* Effect.flip(stream.write(Buffer.from("x")))).message, "the client closed the connection")
    }).pipe(Effect.scoped)
  )

  for (const [what, ids] of [
    ["falls", [3, 1]],
    ["comes twice", [1, 1]],
    ["is even", [2]]
  ] as const) {
    it.effect(`accuses a client whose stream id ${what}`, () =>
      Effect.gen(function* () {
        const { client, spdy } = yield* startConnection()
        for (const streamId of ids) {
          yield* client.sendFrame({
            _tag: "SynStream",
            streamId,
            fin: false,
            unidirectional: false,
            headers: new Map()
          })
        }
        yield* spdy.gone
        const frames = yield* client.rest
        assert.deepStrictEqual(frames.at(-1), {
          _tag: "GoAway",
          lastStreamId: ids.length === 1 ? 0 : ids[0],
          status: 1
        })
      }).pipe(Effect.scoped)
    )
  }

  it.effect("accuses a client that breaks the protocol, and fails its streams with the reason", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* startConnection()
      const stream = yield* open
      const bomb = Buffer.from("80030004000000088000000000000000", "hex")
      yield* client.send(bomb)
      const error = yield* Effect.flip(textOf(stream))
      assert.include(error.message, "a SETTINGS frame of 8 bytes that promises 2147483648 settings")
      yield* spdy.gone
      assert.deepStrictEqual((yield* client.rest).at(-1), { _tag: "GoAway", lastStreamId: 1, status: 1 })
    }).pipe(Effect.scoped)
  )

  it.effect("does not wait for a client that breaks the protocol to read that it did", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* startConnection()
      yield* open
      yield* client.stopReading
      yield* client.send(Buffer.from("800300060000000400000000", "hex"))
      yield* spdy.gone
      yield* TestClock.adjust("2 seconds")
      yield* client.rest
    }).pipe(Effect.scoped)
  )

  it.effect("survives any frames in any order", () =>
    Effect.promise(() => {
      const streamId = fc.integer({ min: 1, max: 9 })
      const step = fc.oneof(
        fc.record({ kind: fc.constant("open" as const), fin: fc.boolean() }),
        fc.record({ kind: fc.constant("data" as const), streamId, fin: fc.boolean(), size: fc.nat(3000) }),
        fc.record({ kind: fc.constant("reset" as const), streamId }),
        fc.record({ kind: fc.constant("goAway" as const) }),
        fc.record({ kind: fc.constant("end" as const), streamId }),
        fc.record({ kind: fc.constant("discard" as const), streamId }),
        fc.record({ kind: fc.constant("read" as const), streamId }),
        fc.record({ kind: fc.constant("close" as const) })
      )
      return fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), (steps) =>
          Effect.gen(function* () {
            const { client, spdy } = yield* startConnection()
            const streams = new Map<number, SpdyStream>()
            yield* Queue.take(spdy.streams).pipe(
              Effect.map((stream) => streams.set(stream.id, stream)),
              Effect.forever,
              Effect.ignore,
              Effect.forkScoped({ startImmediately: true })
            )
            for (const step of steps) {
              const stream = "streamId" in step ? streams.get(step.streamId) : undefined
              if (step.kind === "open") yield* client.open({}, step.fin)
              if (step.kind === "data") yield* client.data(step.streamId, Buffer.alloc(step.size), step.fin)
              if (step.kind === "reset") yield* client.reset(step.streamId)
              if (step.kind === "goAway") yield* client.goAway
              if (step.kind === "end") yield* stream?.end ?? Effect.void
              if (step.kind === "discard") yield* stream?.discard ?? Effect.void
              if (step.kind === "read")
                yield* Effect.forkScoped(Effect.exit(stream?.incoming.pipe(Stream.runDrain) ?? Effect.void))
              if (step.kind === "close") yield* Effect.forkScoped(spdy.close)
              yield* settle
            }
            yield* client.close
            yield* spdy.gone
            for (const stream of streams.values()) {
              yield* stream.closed
              yield* Effect.exit(Stream.runDrain(stream.incoming))
            }
          }).pipe(Effect.scoped, Effect.timeout("5 seconds"), Effect.runPromise)
        ),
        { numRuns: 100 }
      )
    })
  )
})
