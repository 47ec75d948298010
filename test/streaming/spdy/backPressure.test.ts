import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import type { SpdyStream } from "../../../src/streaming/spdy/Connection.ts"
import { encodeData } from "../../../src/streaming/spdy/frames.ts"
import { maxConnectionBuffer, maxStreamBuffer } from "../../../src/streaming/spdy/limits.ts"
import { kib, settle, startConnection, textOf, utf8 } from "./support.ts"

describe("back pressure", () => {
  it.effect("holds a client back once a stream's reader is behind, and keeps little meanwhile", () =>
    Effect.gen(function* () {
      const { client, open } = yield* startConnection()
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
      const { client, open } = yield* startConnection()
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
      const { client, open } = yield* startConnection()
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
      const { client, open } = yield* startConnection()
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
        const { client, open } = yield* startConnection()
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
      const { client, open, spdy } = yield* startConnection()
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
      const { client, open, spdy } = yield* startConnection()
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
      const { client, open } = yield* startConnection()
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
      const { client, open } = yield* startConnection()
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
      const { client, open } = yield* startConnection()
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
      const { client, open } = yield* startConnection()
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
