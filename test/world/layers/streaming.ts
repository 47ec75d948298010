/** Streaming clients over a world: no sockets, a client's connection goes straight to the daemon that listens. */
import { type Cause, Deferred, Effect, Layer, Queue, type Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import type { Message, MessageConnection } from "../../../src/streaming/MessageConnection.ts"
import { ConnectionLost, StreamingServerError } from "../../../src/streaming/StreamingError.ts"
import { StreamingTransport } from "../../../src/streaming/Transport.ts"
import type { Seam } from "./Seam.ts"

type Handle = Parameters<StreamingTransport["Service"]["listen"]>[1]

const listening = new WeakMap<StreamingTransport["Service"], Handle>()

/** The client's end of a WebSocket. */
export interface SimulatedClient {
  readonly send: (message: Message) => Effect.Effect<void>
  /** What the server has sent. */
  readonly messages: ReadonlyArray<Message>
  /** Waits for the server's close; its code. */
  readonly closed: Effect.Effect<number, Error>
  /** The client is gone. */
  readonly leave: Effect.Effect<void>
}

/** A client connects to a URL of the daemon's with one subprotocol; what the daemon does then ends with the scope. */
export const openWebSocket = Effect.fnUntraced(function* (
  url: string,
  protocol: string
): Effect.fn.Return<SimulatedClient, Error, StreamingTransport | Scope.Scope> {
  const handle = listening.get(yield* StreamingTransport)
  if (handle === undefined) return yield* Effect.fail(new Error("the daemon does not listen"))
  const toServer = yield* Queue.unbounded<Message, Cause.Done>()
  const gone = yield* Deferred.make<void>()
  const code = yield* Deferred.make<number, Error>()
  const messages: Array<Message> = []
  const end = Effect.andThen(Queue.end(toServer), Deferred.succeed(gone, undefined))
  const connection: MessageConnection = {
    messages: Stream.fromQueue(toServer),
    send: (message) =>
      Effect.suspend(() => {
        if (Deferred.isDoneUnsafe(gone)) return Effect.fail(new ConnectionLost({ reason: "the client has left" }))
        messages.push(message)
        return Effect.void
      }),
    close: (status) => Effect.asVoid(Effect.andThen(end, Deferred.succeed(code, status))),
    gone: Deferred.await(gone)
  }
  const served = handle({
    request: {
      method: "GET",
      target: new URL(url).pathname,
      headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-protocol": protocol }
    },
    refuse: ({ status, text }) => Effect.asVoid(Deferred.fail(code, new Error(`refused with ${status}: ${text}`))),
    spdy: () => Effect.die("no SPDY in this world"),
    webSocket: () => Effect.succeed(connection)
  })
  yield* Effect.scoped(served).pipe(
    Effect.ensuring(Deferred.fail(code, new Error("the daemon let the connection go"))),
    Effect.forkScoped({ startImmediately: true })
  )
  return {
    send: (message) => Effect.asVoid(Queue.offer(toServer, message)),
    messages,
    closed: Deferred.await(code),
    leave: Effect.asVoid(end)
  }
})

export const streamingTransportLayer = (seam: Seam): Layer.Layer<StreamingTransport> => {
  const transport: StreamingTransport["Service"] = {
    listen: ({ address, port }, handle) =>
      Effect.acquireRelease(
        seam
          .sync("StreamingTransport", "listen", `${address}:${port}`, () => {
            listening.set(transport, handle)
            return port === 0 ? 40_000 : port
          })
          .pipe(
            Effect.mapError(
              (cause) => new StreamingServerError({ action: `listen on ${address}`, reason: cause.message, cause })
            )
          ),
        () => seam.finalizer(() => void listening.delete(transport))
      )
  }
  return Layer.succeed(StreamingTransport, transport)
}

/** As unlike one another as real ones, and the same in every run. */
export const secureRandomLayer = (seed: number): Layer.Layer<SecureRandom.SecureRandom> =>
  Layer.sync(SecureRandom.SecureRandom, () => {
    let state = seed
    return SecureRandom.make((size) =>
      Uint8Array.from({ length: size }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return state >>> 24
      })
    )
  })
