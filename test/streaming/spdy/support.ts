/** A client of a SPDY connection, and the pipe between it and the server, without a socket. */
import { assert } from "@effect/vitest"
import { Cause, Effect, Latch, Queue, Result, Stream } from "effect"
import type { ByteConnection } from "../../../src/streaming/Session.ts"
import { ConnectionLost } from "../../../src/streaming/StreamingError.ts"
import { openConnection, type SpdyStream } from "../../../src/streaming/spdy/Connection.ts"
import { makeFrameReader } from "../../../src/streaming/spdy/frameReader.ts"
import { encodeFrame, type Frame, type Sendable } from "../../../src/streaming/spdy/frames.ts"
import { makeHeaderDeflater } from "../../../src/streaming/spdy/headerCompression.ts"
import type { Headers } from "../../../src/streaming/spdy/headers.ts"

export const headersOf = (headers: Readonly<Record<string, string>>): Headers =>
  new Map(Object.entries(headers).map(([name, value]) => [name, [value]]))

export const framesIn = (bytes: Uint8Array): ReadonlyArray<Frame> => {
  const reader = makeFrameReader()
  reader.push(bytes)
  const frames: Array<Frame> = []
  for (;;) {
    const frame = Result.getOrThrow(reader.next())
    if (frame === undefined) return frames
    frames.push(frame)
  }
}

export const utf8 = (data: Uint8Array) => Buffer.from(data).toString("utf8")

/** As a pipe of bytes with a server at the one end and `client` at the other. */
export const makePipe = Effect.gen(function* () {
  // One piece at a time, as a socket that is not read: what the server does not take, the client cannot send.
  const toServer = yield* Queue.bounded<Uint8Array, ConnectionLost | Cause.Done>(1)
  const toClient = yield* Queue.unbounded<Frame, Cause.Done>()
  const reading = yield* Latch.make(true)
  const gone = yield* Latch.make(false)
  const reader = makeFrameReader()
  let taken = 0

  const connection: ByteConnection = {
    incoming: Stream.fromQueue(toServer).pipe(
      Stream.tap((bytes) => Effect.sync(() => (taken += bytes.length))),
      // The tap sees a piece before the one before it is done with, else.
      Stream.rechunk(1)
    ),
    write: (data) =>
      Effect.gen(function* () {
        if (gone.isOpen()) return yield* new ConnectionLost({ reason: "gone" })
        reader.push(data)
        for (;;) {
          const frame = Result.getOrThrow(reader.next())
          if (frame === undefined) break
          yield* Queue.offer(toClient, frame)
        }
        yield* Effect.raceFirst(reading.await, gone.await)
        if (gone.isOpen()) return yield* new ConnectionLost({ reason: "gone" })
      }),
    end: Effect.andThen(Queue.end(toClient), Effect.asVoid(gone.open)),
    gone: gone.await
  }

  const deflate = makeHeaderDeflater()
  let nextId = 1
  const send = (bytes: Uint8Array) => Effect.asVoid(Queue.offer(toServer, bytes))
  const sendFrame = (frame: Sendable) => Effect.suspend(() => send(encodeFrame(frame, deflate)))
  const next = Queue.take(toClient).pipe(Effect.orDie)

  const client = {
    send,
    sendFrame,
    /** Opens a stream without waiting for the answer. */
    open: (headers: Readonly<Record<string, string>>, fin = false) =>
      Effect.gen(function* () {
        const streamId = nextId
        nextId += 2
        yield* sendFrame({ _tag: "SynStream", streamId, fin, unidirectional: false, headers: headersOf(headers) })
        return streamId
      }),
    data: (streamId: number, data: string | Uint8Array, fin = false) =>
      sendFrame({ _tag: "Data", streamId, fin, data: typeof data === "string" ? Buffer.from(data) : data }),
    reset: (streamId: number) => sendFrame({ _tag: "RstStream", streamId, status: 5 }),
    goAway: sendFrame({ _tag: "GoAway", lastStreamId: 0, status: 0 }),
    /** The next frame that the server sends. */
    next,
    /** All that the server still sends until it ends. */
    rest: Effect.gen(function* () {
      const frames: Array<Frame> = []
      for (;;) {
        const frame = yield* Effect.option(Queue.take(toClient))
        if (frame._tag === "None") return frames
        frames.push(frame.value)
      }
    }),
    close: Queue.end(toServer),
    /** The socket breaks: also writes fail. */
    die: Effect.gen(function* () {
      yield* gone.open
      yield* Queue.fail(toServer, new ConnectionLost({ reason: "reset by peer" }))
    }),
    stopReading: reading.close,
    goOnReading: reading.open,
    /** Bytes that the server has taken from the pipe. */
    taken: () => taken
  }
  return { connection, client }
})

/** Lets all other fibers run until they wait. */
export const settle = Effect.yieldNow.pipe(Effect.repeat({ times: 200 }))

/** The server's connection and its client, in the test's scope. */
export const startConnection = (options: { maxStreams?: number; accepts?: (kind: string) => boolean } = {}) =>
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

/** All that comes on a stream until it ends. */
export const textOf = (stream: SpdyStream) =>
  stream.incoming.pipe(
    Stream.runFold(
      () => "",
      (text, data: Uint8Array) => text + utf8(data)
    )
  )

export const kib = (count: number) => Buffer.alloc(count * 1024, "x")
