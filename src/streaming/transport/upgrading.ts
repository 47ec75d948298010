/** One HTTP request with `Connection: Upgrade`, and the three things that can become of its socket. */
import { Effect } from "effect"
import { type IncomingMessage, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { WebSocket } from "ws"
import { headTimeoutMs, maxMessageBytes } from "../limits.ts"
import { ConnectionLost } from "../StreamingError.ts"
import type { IncomingRequest } from "../Transport.ts"
import type { Refusal, SpdyUpgrade, UpgradeRequest, WebSocketUpgrade } from "../upgrade.ts"
import { makeByteConnection } from "./byteConnection.ts"
import { makeMessageConnection } from "./messageConnection.ts"

export const requestOf = ({ method = "", url = "", headers }: IncomingMessage): UpgradeRequest => ({
  method,
  target: url,
  headers: {
    connection: headers.connection,
    upgrade: headers.upgrade,
    "x-stream-protocol-version": headers["x-stream-protocol-version"]?.toString(),
    "sec-websocket-protocol": headers["sec-websocket-protocol"]
  }
})

type Headers = ReadonlyArray<readonly [name: string, value: string]>

export const answerHeaders = ({ headers, text }: Refusal): { readonly headers: Headers; readonly body: string } => {
  const body = `${text}\n`
  return {
    body,
    headers: [
      ...headers,
      ["Content-Type", "text/plain; charset=utf-8"],
      ["Content-Length", String(Buffer.byteLength(body))],
      ["X-Content-Type-Options", "nosniff"],
      ["Connection", "close"]
    ]
  }
}

const headOf = (status: number, headers: Headers): string =>
  [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...headers.map((header) => header.join(": ")), "", ""].join("\r\n")

const switching = (protocol: string): string =>
  headOf(101, [
    ["Connection", "Upgrade"],
    ["Upgrade", "SPDY/3.1"],
    ["X-Stream-Protocol-Version", protocol]
  ])

/** Milliseconds; Node takes anything longer for 1. */
const longestTimer = 2 ** 31 - 1

/** The handshake of RFC 6455 with the subprotocol that was chosen before. */
const acceptWebSocket = Effect.fnUntraced(function* (
  { request, socket, head }: { readonly request: IncomingMessage; readonly socket: Socket; readonly head: Buffer },
  protocol: string
) {
  // Not before somebody needs it: kubelet speaks SPDY.
  const { WebSocketServer } = yield* Effect.promise(() => import("ws"))
  return yield* Effect.callback<WebSocket, ConnectionLost>((resume) => {
    const options = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
      // Ours is shorter and begins when the last byte has left; a slow reader shall get that too.
      closeTimeout: longestTimer
    } as const
    const server = new WebSocketServer(options)
    // The subprotocol is agreed upon without the package: it refuses a slash in a name, as RFC 6455 does, and the tunnel
    // has one.
    const unnamed: IncomingMessage = Object.create(request, {
      headers: { value: { ...request.headers, "sec-websocket-protocol": undefined } }
    })
    server.on("headers", (headers) => {
      if (protocol !== "") headers.push(`Sec-WebSocket-Protocol: ${protocol}`)
    })
    server.on("wsClientError", (cause) => {
      resume(Effect.fail(new ConnectionLost({ reason: `the WebSocket handshake failed: ${cause.message}`, cause })))
    })
    const onClose = () => resume(Effect.fail(new ConnectionLost({ reason: "the client left during the handshake" })))
    if (socket.destroyed) return onClose()
    socket.once("close", onClose)
    server.handleUpgrade(unnamed, socket, head, (webSocket) => {
      // Until its user listens: a message without a listener is lost, an error without one ends the daemon.
      webSocket.pause()
      webSocket.on("error", () => {})
      socket.off("close", onClose)
      resume(Effect.succeed(webSocket))
    })
  })
})

export const upgradable = (
  request: IncomingMessage,
  /** A net.Socket, since that is what the server listens with. */
  duplex: Duplex,
  head: Buffer,
  idleTimeoutMs: number
): IncomingRequest => {
  const socket = duplex as Socket
  socket.on("error", () => {})

  const refuse = (refusal: Refusal) =>
    Effect.gen(function* () {
      const connection = yield* makeByteConnection(socket, new Uint8Array(0), headTimeoutMs)
      const { headers, body } = answerHeaders(refusal)
      yield* Effect.ignore(connection.write(Buffer.from(`${headOf(refusal.status, headers)}${body}`)))
      yield* connection.end
    }).pipe(Effect.scoped)

  return {
    request: requestOf(request),
    refuse,
    spdy: Effect.fnUntraced(function* ({ protocol }: SpdyUpgrade) {
      const connection = yield* makeByteConnection(socket, head, idleTimeoutMs)
      yield* connection.write(Buffer.from(switching(protocol)))
      return connection
    }),
    webSocket: Effect.fnUntraced(function* ({ protocol }: WebSocketUpgrade) {
      const webSocket = yield* acceptWebSocket({ request, socket, head }, protocol).pipe(
        Effect.tapError(({ reason }) => refuse({ _tag: "Refuse", status: 400, headers: [], text: reason }))
      )
      return yield* makeMessageConnection(webSocket, socket, idleTimeoutMs)
    })
  }
}
