/**
 * Where streaming clients come in: listening sockets, HTTP heads and what they are upgraded to. Part of the seam: above
 * it a connection is bytes or messages, in simulation as on a host.
 */
import { Context, type Effect, Layer, type Scope } from "effect"
import { Files } from "../linux/Files.ts"
import type { MessageConnection } from "./MessageConnection.ts"
import type { ByteConnection } from "./Session.ts"
import type { ConnectionLost, StreamingServerError } from "./StreamingError.ts"
import type { TlsSettings } from "./TlsSettings.ts"
import { makeListen } from "./transport/httpServer.ts"
import type { Refusal, SpdyUpgrade, UpgradeRequest, WebSocketUpgrade } from "./upgrade.ts"

/** One request, to be answered in one of three ways. The connection is cut when the scope closes. */
export interface IncomingRequest {
  readonly request: UpgradeRequest
  readonly refuse: (refusal: Refusal) => Effect.Effect<void>
  readonly spdy: (upgrade: SpdyUpgrade) => Effect.Effect<ByteConnection, ConnectionLost, Scope.Scope>
  readonly webSocket: (upgrade: WebSocketUpgrade) => Effect.Effect<MessageConnection, ConnectionLost, Scope.Scope>
}

export interface ListenOptions {
  /** An IP address. */
  readonly address: string
  /** 0 takes a free one. */
  readonly port: number
  /** Milliseconds without a byte in either direction, after which an upgraded connection is cut; 0 never cuts it. */
  readonly idleTimeoutMs: number
  readonly tls: TlsSettings | undefined
}

export class StreamingTransport extends Context.Service<
  StreamingTransport,
  {
    /** Serves until the scope closes; answers the port. Every request is a fiber of its own. */
    readonly listen: (
      options: ListenOptions,
      handle: (incoming: IncomingRequest) => Effect.Effect<void, never, Scope.Scope>
    ) => Effect.Effect<number, StreamingServerError, Scope.Scope>
  }
>()("cricket/streaming/Transport/StreamingTransport") {
  static readonly layer: Layer.Layer<StreamingTransport, never, Files> = Layer.effect(StreamingTransport, makeListen)
}
