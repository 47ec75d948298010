import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { openConnection, type SpdyStream } from "../../../src/streaming/spdy/Connection.ts"
import { encodeData } from "../../../src/streaming/spdy/frames.ts"
import { maxConnectionBuffer, maxStreamBuffer } from "../../../src/streaming/spdy/limits.ts"
import { headersOf, makePipe, settle, utf8 } from "./support.ts"

const start = (options: { maxStreams?: number; accepts?: (kind: string) => boolean } = {}) =>
  Effect.gen(function* () {
    const { connection, client } = yield* makePipe
    const accepts = options.accepts ?? (() => true)
    const spdy = yield* openConnection(connection, {
      maxStreams: options.maxStreams ?? 100,
      accepts: (headers) => accepts(headers.get("kind")?.[0] ?? "")
    })
    const accept = Queue.take(spdy.streams)
    /** Opens a stream and waits for both sides to have it. */
    const open = Effect.gen(function* () {
      const id = yield* client.open({})
      const stream = yield* accept
      assert.strictEqual(stream.id, id)
      assert.deepStrictEqual(yield* client.next, { _tag: "SynReply", streamId: id, fin: false, headers: new Map() })
      return stream
    })
    return { client, spdy, accept, open }
  })

const textOf = (stream: SpdyStream) =>
  stream.incoming.pipe(
    Stream.runFold(
      () => "",
      (text, data: Uint8Array) => text + utf8(data)
    )
  )

const kib = (count: number) => Buffer.alloc(count * 1024, "x")

describe("streams of a connection", () => {
  it.effect("are answered before they are handed on, in the order of their opening", () =>
    Effect.gen(function* () {
      const { client, accept } = yield* start()
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
      const { client, open } = yield* start()
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
      const { client, open } = yield* start()
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
      const { client, accept, open } = yield* start()
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
      const { client, open } = yield* start()
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
      const { client, open, accept } = yield* start({ maxStreams: 1 })
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
      const { client, accept } = yield* start({ accepts: (kind) => kind === "good" })
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

describe("a connection", () => {
  it.effect("answers PINGs of the client and no others, and ignores settings and windows", () =>
    Effect.gen(function* () {
      const { client } = yield* start()
      yield* client.sendFrame({ _tag: "Settings", count: 3 })
      yield* client.sendFrame({ _tag: "WindowUpdate", streamId: 1, delta: 1 })
      yield* client.sendFrame({ _tag: "Ping", id: 2 })
      yield* client.sendFrame({ _tag: "Ping", id: 3 })
      assert.deepStrictEqual(yield* client.next, { _tag: "Ping", id: 3 })
    }).pipe(Effect.scoped)
  )

  it.effect("closes in order: resets what is unfinished, says goodbye, ends", () =>
    Effect.gen(function* () {
      const { client, spdy, open } = yield* start()
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
      const { client, spdy, open } = yield* start()
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
      const { client, spdy, open } = yield* start()
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
      const { client, spdy, open } = yield* start()
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
      const { client, spdy, open } = yield* start()
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
        const { client, spdy } = yield* start()
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
      const { client, spdy, open } = yield* start()
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
      const { client, spdy, open } = yield* start()
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
            const { client, spdy } = yield* start()
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

describe("back pressure", () => {
  it.effect("holds a client back once a stream's reader is behind, and keeps little meanwhile", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      const stream = yield* open
      const flood = yield* client.data(stream.id, kib(64)).pipe(Effect.repeat({ times: 1600 }), Effect.forkScoped)
      yield* settle
      assert.isUndefined(flood.pollUnsafe())
      assert.isAtMost(client.taken(), maxStreamBuffer + 3 * 64 * 1024)
      yield* Stream.runDrain(Stream.take(stream.incoming, 1601))
      yield* Fiber.join(flood)
    }).pipe(Effect.scoped)
  )

  it.effect("lets a half-close, another stream and a PING through behind data that nobody reads yet", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      const [stdin, resize] = [yield* open, yield* open]
      yield* client.data(stdin.id, kib(200), true)
      yield* client.data(resize.id, "size", true)
      yield* client.sendFrame({ _tag: "Ping", id: 1 })
      assert.strictEqual(yield* textOf(resize), "size")
      assert.strictEqual((yield* client.next)._tag, "Ping")
      assert.strictEqual((yield* textOf(stdin)).length, 200 * 1024)
    }).pipe(Effect.scoped)
  )

  it.effect("counts what all streams hold together", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      const streams = yield* Effect.forEach(Array.from({ length: 30 }), () => open)
      const flood = yield* Effect.forEach(streams, ({ id }) => client.data(id, kib(200))).pipe(Effect.forkScoped)
      yield* settle
      assert.isUndefined(flood.pollUnsafe())
      assert.isAtMost(client.taken(), maxConnectionBuffer + 3 * 200 * 1024)
      for (const stream of streams) yield* stream.discard
      yield* Fiber.join(flood)
    }).pipe(Effect.scoped)
  )

  it.effect("counts pieces too, not only their bytes", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      const stream = yield* open
      const flood = yield* client.data(stream.id, "x").pipe(Effect.repeat({ times: 10_000 }), Effect.forkScoped)
      yield* Effect.repeat(settle, { times: 100 })
      assert.isUndefined(flood.pollUnsafe())
      assert.isBelow(client.taken(), 40_000)
      yield* stream.discard
      yield* Fiber.join(flood)
    }).pipe(Effect.scoped)
  )

  for (const [what, act] of [
    ["drops what comes", (stream: SpdyStream) => stream.discard],
    ["stops reading", (stream: SpdyStream) => Stream.runDrain(Stream.take(stream.incoming, 1))],
    ["resets the stream", (stream: SpdyStream) => stream.reset]
  ] as const) {
    it.effect(`ends when the server ${what}`, () =>
      Effect.gen(function* () {
        const { client, open } = yield* start()
        const stream = yield* open
        const flood = yield* client.data(stream.id, kib(64)).pipe(Effect.repeat({ times: 100 }), Effect.forkScoped)
        yield* settle
        assert.isUndefined(flood.pollUnsafe())
        yield* act(stream)
        yield* Fiber.join(flood)
      }).pipe(Effect.scoped)
    )
  }

  it.effect("ends when the connection breaks", () =>
    Effect.gen(function* () {
      const { client, open, spdy } = yield* start()
      const stream = yield* open
      yield* client.data(stream.id, kib(64)).pipe(Effect.repeat({ times: 100 }), Effect.forkScoped)
      yield* settle
      yield* client.die
      yield* spdy.gone
      assert.include((yield* Effect.flip(textOf(stream))).message, "reset by peer")
    }).pipe(Effect.scoped)
  )

  it.effect("ends when the connection breaks while answers to the client wait", () =>
    Effect.gen(function* () {
      const { client, open, spdy } = yield* start()
      yield* open
      yield* client.stopReading
      yield* client.sendFrame({ _tag: "Ping", id: 1 }).pipe(Effect.repeat({ times: 1000 }), Effect.forkScoped)
      yield* settle
      yield* client.die
      yield* spdy.gone
    }).pipe(Effect.scoped)
  )

  it.effect("keeps no large buffer for a small piece of it", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      const [small, large] = [yield* open, yield* open]
      const bytes = Buffer.concat([encodeData(small.id, Buffer.from("abc"), true), encodeData(large.id, kib(60), true)])
      yield* client.send(bytes)
      const pieces = yield* Stream.runCollect(small.incoming)
      assert.deepStrictEqual(
        pieces.map((piece) => [utf8(piece), piece.buffer.byteLength]),
        [["abc", 3]]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("makes a writer wait for its client, and frees it when the client is gone", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      const stream = yield* open
      yield* client.stopReading
      const sent = yield* Deferred.make<number>()
      let count = 0
      const writer = yield* stream.write(kib(64)).pipe(
        Effect.tap(() => Effect.sync(() => (count += 1))),
        Effect.andThen(Effect.yieldNow),
        Effect.forever,
        Effect.catch(() => Deferred.succeed(sent, count)),
        Effect.forkScoped
      )
      yield* settle
      assert.strictEqual(count, 0)
      yield* client.goOnReading
      yield* settle
      yield* client.die
      assert.isAbove(yield* Deferred.await(sent), 0)
      yield* Fiber.await(writer)
    }).pipe(Effect.scoped)
  )

  it.effect("lets input through while the client does not read its output", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      const stream = yield* open
      yield* client.stopReading
      yield* Effect.forkScoped(stream.write(kib(640)))
      for (let id = 1; id < 60; id += 2) yield* client.sendFrame({ _tag: "Ping", id })
      yield* client.data(stream.id, "interrupt", true)
      assert.strictEqual(yield* textOf(stream), "interrupt")
    }).pipe(Effect.scoped)
  )

  it.effect("bounds what the client makes us write while it does not read", () =>
    Effect.gen(function* () {
      const { client, open } = yield* start()
      yield* open
      yield* client.stopReading
      const flood = yield* client
        .sendFrame({ _tag: "Ping", id: 1 })
        .pipe(Effect.repeat({ times: 1000 }), Effect.forkScoped)
      yield* settle
      assert.isUndefined(flood.pollUnsafe())
      yield* client.goOnReading
      yield* Fiber.join(flood)
    }).pipe(Effect.scoped)
  )
})
