/** The way to a streaming server: a stream of Node's, with TLS where the address asks for it. */
import { Effect, type Scope } from "effect"
import { connect } from "node:net"
import type { Duplex } from "node:stream"
import { connect as connectTls } from "node:tls"
import type { Connection } from "../../linux/Sockets.ts"
import { makeDuplex } from "./duplex.ts"

const httpPort = 80
const httpsPort = 443

export const isTls = ({ protocol }: URL): boolean => protocol === "https:"

export const portOf = (url: URL): number => (url.port === "" ? (isTls(url) ? httpsPort : httpPort) : Number(url.port))

const direct = (url: URL) =>
  Effect.acquireRelease(
    Effect.sync(() => connect({ host: url.hostname.replaceAll(/^\[|\]$/g, ""), port: portOf(url) })),
    (socket) => Effect.sync(() => void socket.destroy())
  )

/** Through the connection, or with one of its own. Runtimes sign their certificates themselves: none is verified. */
export const openWay = Effect.fnUntraced(function* (
  url: URL,
  connection: Connection | undefined
): Effect.fn.Return<Duplex, never, Scope.Scope> {
  const socket: Duplex = connection === undefined ? yield* direct(url) : yield* makeDuplex(connection)
  if (!isTls(url)) return socket
  return yield* Effect.acquireRelease(
    Effect.sync(() => connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] })),
    (tls) => Effect.sync(() => void tls.destroy())
  )
})
