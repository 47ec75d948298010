/**
 * Exec, attach and port forwarding: a CRI call is answered with a URL, and whoever connects there within a minute gets
 * the stream that was asked for.
 */
import { Context, Duration, Effect, Layer, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { Settings, type SettingsShape } from "../config/Settings.ts"
import { openSslCiphers } from "../model/CipherSuites.ts"
import { serveAttach } from "./attach.ts"
import { serveExec } from "./exec.ts"
import { creationTimeoutMs, defaultIdleTimeoutMs, maxOutstandingRequests, tokenLifetimeMs } from "./limits.ts"
import { type AttachStream, type ExecStream, makePodSide, type PodSide, type StreamRequest } from "./PodSide.ts"
import { servePortForward } from "./portForward.ts"
import type { PortForwardSession, Session } from "./Session.ts"
import { spdyPortForward } from "./spdy/portForward.ts"
import { spdyRemoteCommand } from "./spdy/remoteCommand.ts"
import type { ConnectionLost, StreamingServerError, TooManyRequests } from "./StreamingError.ts"
import { makeTokens } from "./Tokens.ts"
import { type IncomingRequest, type ListenOptions, StreamingTransport } from "./Transport.ts"
import { type Endpoint, refusal, routeOf, unknownToken, type Upgrade, upgradeOf } from "./upgrade.ts"
import { webSocketPortForward } from "./websocket/portForward.ts"
import { webSocketRemoteCommand } from "./websocket/remoteCommand.ts"
import { tunnel } from "./websocket/tunnel.ts"

const endpoints: Record<StreamRequest["_tag"], Endpoint> = {
  Exec: "exec",
  Attach: "attach",
  PortForward: "portforward"
}

/** Clients connect to the address that is listened on; to the host itself where that is every address. */
const hostOf = (address: string): string => {
  if (address === "0.0.0.0") return "127.0.0.1"
  if (address === "::") return "[::1]"
  return address.includes(":") ? `[${address}]` : address
}

const openSession = Effect.fnUntraced(function* (
  incoming: IncomingRequest,
  upgrade: Upgrade,
  shape: ExecStream | AttachStream
): Effect.fn.Return<Session, ConnectionLost, Scope.Scope> {
  if (upgrade._tag === "Spdy") {
    const { version } = upgrade
    return yield* spdyRemoteCommand(yield* incoming.spdy(upgrade), { ...shape, version, creationTimeoutMs })
  }
  const { version, base64 } = upgrade
  return yield* webSocketRemoteCommand(yield* incoming.webSocket(upgrade), { ...shape, version, base64 })
})

const openPortForward = Effect.fnUntraced(function* (
  incoming: IncomingRequest,
  upgrade: Upgrade,
  ports: ReadonlyArray<number>
): Effect.fn.Return<PortForwardSession, ConnectionLost, Scope.Scope> {
  if (upgrade._tag === "Spdy") return yield* spdyPortForward(yield* incoming.spdy(upgrade), { creationTimeoutMs })
  const connection = yield* incoming.webSocket(upgrade)
  if (upgrade.tunnel) return yield* spdyPortForward(tunnel(connection), { creationTimeoutMs })
  return yield* webSocketPortForward(connection, { ports, base64: upgrade.base64 })
})

const nameOf = (request: StreamRequest): string => {
  switch (request._tag) {
    case "Exec":
      return `streams of exec ${JSON.stringify(request.command[0])} in container ${request.containerId}`
    case "Attach":
      return `client attached to container ${request.containerId}`
    case "PortForward":
      return `port forwarding to pod sandbox ${request.podId}`
  }
}

const noPorts = refusal(
  400,
  "this subprotocol forwards the ports of the PortForward request, and that named none: use SPDY/3.1, or SPDY/3.1+portforward.k8s.io through a WebSocket"
)

const serveStream = Effect.fnUntraced(function* (
  incoming: IncomingRequest,
  request: StreamRequest,
  podSide: PodSide
): Effect.fn.Return<void, ConnectionLost, Scope.Scope> {
  const upgrade = upgradeOf(incoming.request, endpoints[request._tag])
  if (upgrade._tag === "Refuse") return yield* incoming.refuse(upgrade)
  switch (request._tag) {
    case "Exec":
      return yield* serveExec(yield* openSession(incoming, upgrade, request), request, podSide)
    case "Attach":
      return yield* serveAttach(yield* openSession(incoming, upgrade, request), request, podSide)
    case "PortForward":
      if (upgrade._tag === "WebSocket" && !upgrade.tunnel && request.ports.length === 0) {
        return yield* incoming.refuse(noPorts)
      }
      return yield* servePortForward(yield* openPortForward(incoming, upgrade, request.ports), request, podSide)
  }
})

export type StreamingOptions = ListenOptions

const optionsOf = ({ api }: SettingsShape): StreamingOptions => ({
  address: api.stream_address,
  port: api.stream_port,
  idleTimeoutMs:
    api.stream_idle_timeout === undefined ? defaultIdleTimeoutMs : Duration.toMillis(api.stream_idle_timeout),
  tls: api.stream_enable_tls
    ? {
        minVersion: api.tls_min_version === "VersionTLS13" ? "TLSv1.3" : "TLSv1.2",
        ciphers: api.tls_cipher_suites.length === 0 ? "" : openSslCiphers(api.tls_cipher_suites),
        certificate: api.stream_tls_cert,
        key: api.stream_tls_key,
        clientCa: api.stream_tls_ca
      }
    : undefined
})

export class StreamingServer extends Context.Service<
  StreamingServer,
  {
    /** An absolute URL that serves the request once, to whoever comes first, within a minute. It is a secret. */
    readonly urlFor: (request: StreamRequest) => Effect.Effect<string, TooManyRequests>
  }
>()("cricket/streaming/StreamingServer") {
  /** Listens until the scope closes, which ends every stream. */
  static readonly make = Effect.fnUntraced(function* (
    options: StreamingOptions,
    podSide: PodSide
  ): Effect.fn.Return<
    StreamingServer["Service"],
    StreamingServerError,
    StreamingTransport | SecureRandom.SecureRandom | Scope.Scope
  > {
    const transport = yield* StreamingTransport
    const tokens = yield* makeTokens<StreamRequest>({ capacity: maxOutstandingRequests, lifetimeMs: tokenLifetimeMs })

    const handle = Effect.fnUntraced(function* (incoming: IncomingRequest) {
      const route = routeOf(incoming.request)
      if (route._tag === "Refuse") return yield* incoming.refuse(route)
      const request = yield* tokens.take(route.token)
      if (request === undefined || endpoints[request._tag] !== route.endpoint) {
        return yield* incoming.refuse(unknownToken)
      }
      const name = nameOf(request)
      yield* serveStream(incoming, request, podSide).pipe(
        podSide.named(name),
        Effect.catchTag("ConnectionLost", ({ message }) => Effect.logInfo(`${name}: ${message}`)),
        Effect.tapCause((cause) => Effect.logError(`${name} failed`, cause))
      )
    })

    const port = yield* transport.listen(options, handle)
    const base = `${options.tls === undefined ? "http" : "https"}://${hostOf(options.address)}:${port}`
    yield* Effect.logInfo(`streams are served at ${base}`)
    return {
      urlFor: Effect.fn("StreamingServer.urlFor")(function* (request: StreamRequest) {
        return `${base}/${endpoints[request._tag]}/${yield* tokens.issue(request)}`
      })
    }
  })

  static readonly layer = Layer.effect(
    StreamingServer,
    Effect.gen(function* () {
      return yield* StreamingServer.make(optionsOf(yield* Settings), yield* makePodSide)
    })
  )
}
