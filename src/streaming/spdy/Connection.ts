/**
 * The server's side of a SPDY/3.1 connection: the streams that a client opens over one pipe of bytes.
 *
 * SPDY as exec, attach and port forwarding speak it has no flow control: the pipe is the only thing that can hold a
 * client back. A stream keeps up to `maxStreamBuffer` for its reader, so that what stands behind its data (a resize, a
 * half-close, a PING) still gets through; then the pipe is not read until that reader has taken something, and an empty
 * SETTINGS now and then finds out whether the client is still there. What the client makes us write by itself (replies)
 * is queued apart, so that a client that does not read its output can still send input.
 */
import { type Cause, Deferred, Effect, Queue, type Scope, Stream } from "effect"
import type { ByteConnection } from "../Session.ts"
import { ConnectionLost } from "../StreamingError.ts"
import { makeFrameReader } from "./frameReader.ts"
import { encodeData, encodeFrame, type Frame, goAwayStatus, resetStatus, type Sendable, splitData } from "./frames.ts"
import { makeHeaderDeflater } from "./headerCompression.ts"
import type { Headers } from "./headers.ts"
import { type Inbox, makeInboxes } from "./inboxes.ts"
import { maxPendingReplies } from "./limits.ts"
import { SpdyError } from "./SpdyError.ts"

export interface SpdyStream {
  readonly id: number
  readonly headers: Headers
  /**
   * Ends at the client's FIN, fails when the client resets the stream or is gone. For one reader; when it stops, what
   * comes after is dropped.
   */
  readonly incoming: Stream.Stream<Uint8Array, ConnectionLost>
  /** Waits until the client has taken enough. Drops all once either side has ended this direction. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** FIN: nothing more will be written. */
  readonly end: Effect.Effect<void>
  /** Drops what the client has sent and will send, without telling it. */
  readonly discard: Effect.Effect<void>
  /** Both directions are over; the client is told if it does not know. */
  readonly reset: Effect.Effect<void>
  /** Completes when both directions are over. */
  readonly closed: Effect.Effect<void>
}

export interface SpdyConnection {
  /** Each as it is opened, already answered. Ends with the connection. For one reader. */
  readonly streams: Queue.Dequeue<SpdyStream, Cause.Done>
  /** Resets what is not finished, says goodbye, ends the pipe. */
  readonly close: Effect.Effect<void>
  /** Completes when nothing more can come from the client. */
  readonly gone: Effect.Effect<void>
}

export interface ConnectionOptions {
  /** Streams that are open at a time; more are refused. */
  readonly maxStreams: number
  /** Whether a stream with these headers makes sense now; it is reset otherwise. */
  readonly accepts: (headers: Headers) => boolean
}

/** A stream as the table has it. */
interface Entry {
  readonly id: number
  readonly inbox: Inbox
  readonly closed: Deferred.Deferred<void>
  /** The client has not ended its direction. */
  receiving: boolean
  /** We have not ended ours. */
  sending: boolean
}

/** A frame that the client's own frames call for. */
interface Reply {
  readonly bytes: Uint8Array
  readonly written: Effect.Effect<void>
}

const goodbye = "the connection was closed"

// How long a client that broke the protocol may take to read that it did.
const accusationLimit = "2 seconds"

/** Serves the connection until the scope closes or the client is gone; every stream then fails or ends. */
export const openConnection = Effect.fnUntraced(function* (
  connection: ByteConnection,
  options: ConnectionOptions
): Effect.fn.Return<SpdyConnection, never, Scope.Scope> {
  const entries = new Map<number, Entry>()
  const opened = yield* Queue.unbounded<SpdyStream, Cause.Done>()
  const replies = yield* Queue.bounded<Reply>(maxPendingReplies)
  const gone = yield* Deferred.make<void>()
  const deflate = makeHeaderDeflater()
  const encode = (frame: Sendable) => encodeFrame(frame, deflate)
  // What is sent to a client that is gone comes back as a failure. It calls for no answer: a client whose writes are held
  // up would have to give it before it reads on, and what we wait for may be waiting for that.
  const nothing = encode({ _tag: "Settings", count: 0 })
  const inboxes = yield* makeInboxes(Effect.ignore(connection.write(nothing)))
  let lastStreamId = 0
  // The client opens no more streams.
  let farewell = false
  let closing = false
  let lost: ConnectionLost | undefined

  const retire = (entry: Entry) => {
    if (entry.receiving || entry.sending || !entries.delete(entry.id)) return
    Deferred.doneUnsafe(entry.closed, Effect.void)
  }

  const breakOff = (entry: Entry, reason: string) => {
    entry.sending = false
    entry.receiving = false
    entry.inbox.fail(new ConnectionLost({ reason }))
    entry.inbox.drop()
    retire(entry)
  }

  /** The pipe has nothing more to give: readers still get what came whole. */
  const lose = (error: ConnectionLost) => {
    if (lost !== undefined) return
    lost = error
    farewell = true
    for (const entry of entries.values()) {
      entry.sending = false
      entry.receiving = false
      entry.inbox.fail(error)
      retire(entry)
    }
    Queue.endUnsafe(opened)
    Deferred.doneUnsafe(gone, Effect.void)
  }

  /** For frames whose loss does not matter: a reader or a writer of data learns that the client is gone. */
  const send = (bytes: Uint8Array) => Effect.ignore(connection.write(bytes))

  const close: Effect.Effect<void> = Effect.suspend(() => {
    if (closing || lost !== undefined) return Deferred.await(gone)
    closing = true
    farewell = true
    const frames: Array<Uint8Array> = []
    for (const { id, sending } of entries.values()) {
      if (!sending) continue
      frames.push(encode({ _tag: "RstStream", streamId: id, status: resetStatus.cancel }))
    }
    frames.push(encode({ _tag: "GoAway", lastStreamId, status: goAwayStatus.ok }))
    for (const entry of entries.values()) breakOff(entry, goodbye)
    inboxes.stopWaiting()
    Queue.endUnsafe(opened)
    return send(Buffer.concat(frames)).pipe(
      Effect.andThen(connection.end),
      Effect.andThen(Deferred.succeed(gone, undefined)),
      Effect.asVoid
    )
  })

  const toStream = (entry: Entry, headers: Headers): SpdyStream => {
    const { id, inbox } = entry
    const ended = Effect.suspend(() => (lost === undefined ? Effect.void : Effect.fail(lost)))
    return {
      id,
      headers,
      incoming: inbox.stream,
      write: (data) =>
        Effect.suspend(() =>
          Effect.forEach(splitData(id, data), (frame) => (entry.sending ? connection.write(frame) : ended), {
            discard: true
          })
        ),
      end: Effect.suspend(() => {
        if (!entry.sending) return Effect.void
        entry.sending = false
        return send(encodeData(id, new Uint8Array(0), true)).pipe(Effect.andThen(Effect.sync(() => retire(entry))))
      }),
      discard: Effect.sync(inbox.drop),
      reset: Effect.suspend(() => {
        const open = entries.has(id)
        breakOff(entry, "the stream was reset")
        if (!open) return Effect.void
        return send(encode({ _tag: "RstStream", streamId: id, status: resetStatus.cancel }))
      }),
      closed: Deferred.await(entry.closed)
    }
  }

  const reply = (bytes: Uint8Array, written: Effect.Effect<void> = Effect.void) =>
    Queue.offer(replies, { bytes, written })

  const refuse = (streamId: number, status: number) => reply(encode({ _tag: "RstStream", streamId, status }))

  const onFin = (entry: Entry) => {
    entry.receiving = false
    entry.inbox.end()
    retire(entry)
  }

  const onOpen = Effect.fnUntraced(function* (frame: Extract<Frame, { _tag: "SynStream" }>) {
    const { streamId, headers } = frame
    if (streamId <= lastStreamId || streamId % 2 === 0) {
      return yield* new SpdyError({ reason: `stream ${streamId} opened after stream ${lastStreamId}` })
    }
    lastStreamId = streamId
    if (farewell) return
    if (entries.size >= options.maxStreams) {
      yield* refuse(streamId, resetStatus.refusedStream)
      return
    }
    if (frame.unidirectional || !options.accepts(headers)) {
      yield* refuse(streamId, resetStatus.protocolError)
      return
    }
    const inbox = yield* inboxes.make
    const closed = yield* Deferred.make<void>()
    const entry: Entry = { id: streamId, inbox, closed, receiving: true, sending: true }
    entries.set(streamId, entry)
    if (frame.fin) onFin(entry)
    const stream = toStream(entry, headers)
    // A client drops data that overtakes the reply.
    yield* reply(
      encode({ _tag: "SynReply", streamId, fin: false, headers: new Map() }),
      Effect.sync(() => Queue.offerUnsafe(opened, stream))
    )
  })

  const onData = (frame: Extract<Frame, { _tag: "Data" }>): Effect.Effect<void> => {
    const entry = entries.get(frame.streamId)
    if (entry === undefined) {
      // Data crosses a reset on its way; but a stream that was never opened is a mistake.
      return frame.streamId > lastStreamId
        ? Effect.asVoid(refuse(frame.streamId, resetStatus.invalidStream))
        : Effect.void
    }
    entry.inbox.add(frame.data)
    if (frame.fin) onFin(entry)
    return entry.inbox.untilRoom
  }

  /** After the client's goodbye the last streams still come to their end. */
  const closeWhenDrained = Effect.suspend(() =>
    Effect.forEach(Array.from(entries.values()), ({ closed }) => Deferred.await(closed), { discard: true })
  ).pipe(Effect.andThen(close))

  const onFrame = (frame: Frame): Effect.Effect<unknown, SpdyError, Scope.Scope> => {
    switch (frame._tag) {
      case "Data":
        return onData(frame)
      case "SynStream":
        return onOpen(frame)
      case "RstStream": {
        const entry = entries.get(frame.streamId)
        if (entry !== undefined) breakOff(entry, "the client reset the stream")
        return Effect.void
      }
      case "Headers": {
        const entry = entries.get(frame.streamId)
        if (frame.fin && entry !== undefined) onFin(entry)
        return Effect.void
      }
      case "Ping":
        // Even ids would be answers to ours, and we send none.
        return frame.id % 2 === 1 ? reply(encode(frame)) : Effect.void
      case "GoAway":
        if (farewell) return Effect.void
        farewell = true
        return Effect.forkScoped(closeWhenDrained)
      case "SynReply":
      case "Settings":
      case "WindowUpdate":
      case "Unknown":
        return Effect.void
    }
  }

  const frames = makeFrameReader()
  const onBytes = Effect.fnUntraced(function* (bytes: Uint8Array) {
    // A client that has not heard of the end may still be writing, and what we leave unread would cut off what it reads.
    if (closing) return
    frames.push(bytes)
    while (!closing && lost === undefined) {
      const frame = yield* Effect.fromResult(frames.next())
      if (frame === undefined) return
      yield* onFrame(frame)
    }
  })

  /** Tells the client, should it still be listening. */
  const accuse = (error: SpdyError) =>
    send(encode({ _tag: "GoAway", lastStreamId, status: goAwayStatus.protocolError })).pipe(
      Effect.timeoutOption(accusationLimit),
      Effect.andThen(Effect.logDebug(error.message))
    )

  const read = connection.incoming.pipe(
    Stream.runForEach(onBytes),
    Effect.andThen(new ConnectionLost({ reason: "the client closed the connection" })),
    Effect.catchTags({
      ConnectionLost: (error) => Effect.sync(() => lose(error)),
      SpdyError: (error) =>
        Effect.suspend(() => {
          lose(new ConnectionLost({ reason: error.message, cause: error }))
          return accuse(error)
        })
    }),
    Effect.andThen(Effect.suspend(() => (closing ? Effect.void : connection.end)))
  )
  yield* Effect.forkScoped(read, { startImmediately: true })

  // The reader would not see the end while it waits for one of the streams' readers.
  yield* connection.gone.pipe(
    Effect.andThen(Effect.sync(inboxes.stopWaiting)),
    Effect.forkScoped({ startImmediately: true })
  )

  yield* Queue.take(replies).pipe(
    Effect.flatMap(({ bytes, written }) => Effect.andThen(connection.write(bytes), written)),
    Effect.forever,
    Effect.ignore,
    // Else the reader would wait for room among them.
    Effect.ensuring(Queue.shutdown(replies)),
    Effect.forkScoped({ startImmediately: true })
  )

  return { streams: opened, close, gone: Deferred.await(gone) }
})
