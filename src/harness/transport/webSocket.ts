/** A WebSocket as its client sees it: what came, whether it is over, and how to leave it. */
import { Effect, type Scope } from "effect"
import { WebSocket } from "ws"
import type { Duplex } from "node:stream"
import { RpcFailure } from "../Cri.ts"
import { makeSignal, type Signal } from "./signal.ts"

export interface WebSocketClient {
  /** The subprotocol that the server has chosen. */
  readonly protocol: string
  /** Of the server's close; undefined while it is open. 1006 when there was none. */
  readonly closeCode: () => number | undefined
  readonly send: (message: Uint8Array | string) => Effect.Effect<void, RpcFailure>
  /** Looks again after each message, and after the end. */
  readonly until: Signal["until"]
  /** Reads no more: what the server sends stays on its way. */
  readonly stopReading: Effect.Effect<void>
}

export interface WebSocketOptions {
  readonly url: URL
  /** For failures: "Exec". */
  readonly rpc: string
  /** Subprotocols, the best first. */
  readonly protocols: ReadonlyArray<string>
  readonly socket: Duplex
  readonly onMessage: (message: Uint8Array | string) => void
}

/** A scope that closes cuts it, whatever is on its way. */
export const openWebSocket = Effect.fnUntraced(function* (
  options: WebSocketOptions
): Effect.fn.Return<WebSocketClient, RpcFailure, Scope.Scope> {
  const { url, rpc, protocols, socket, onMessage } = options
  let closeCode: number | undefined
  const { wake, until } = makeSignal()
  const failure = (code: string, details: string) => new RpcFailure({ rpc, code, details })

  const client = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        // What the way has of TLS is the socket's matter already.
        new WebSocket(`ws://${url.host}${url.pathname}${url.search}`, [...protocols], {
          perMessageDeflate: false,
          createConnection: () => socket
        })
    ),
    (client) => Effect.sync(() => client.terminate())
  )
  // Before it opens: what comes first comes together with the handshake.
  client.on("message", (data: Buffer, binary) => {
    onMessage(binary ? data : data.toString("latin1"))
    wake()
  })
  client.on("close", (code) => {
    closeCode = code
    wake()
  })
  yield* Effect.callback<void, RpcFailure>((resume) => {
    client.on("open", () => resume(Effect.void))
    client.on("error", (error) => resume(Effect.fail(failure("CONNECTION", error.message))))
    client.on("unexpected-response", (_, { statusCode, statusMessage = "" }) => {
      resume(Effect.fail(failure(`HTTP_${statusCode}`, statusMessage)))
    })
  })
  return {
    protocol: client.protocol,
    closeCode: () => closeCode,
    send: (message) =>
      Effect.callback((resume) => {
        client.send(message, (error) => resume(error ? Effect.fail(failure("CONNECTION", error.message)) : Effect.void))
      }),
    until,
    stopReading: Effect.sync(() => client.pause())
  }
})
