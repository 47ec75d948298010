/** What can go wrong between a streaming client and the daemon. */
import { Schema } from "effect"

/** The client is gone, or what it sent cannot be understood: nothing more can be read or written. */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>()("ConnectionLost", {
  /** Why, for the log: "the client closed the connection", "a SETTINGS frame longer than its length". */
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `the streaming connection is lost: ${this.reason}`
  }
}

/** As many URLs as there may be have been given out, and no client has come for them yet. */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()("TooManyRequests", {
  capacity: Schema.Int
}) {
  override get message(): string {
    return `${this.capacity} exec, attach and port-forward requests wait for their clients to connect; try again in a minute`
  }
}

/** The streaming server could not be started. */
export class StreamingServerError extends Schema.TaggedError<StreamingServerError>()("StreamingServerError", {
  /** What was tried: "listen on 127.0.0.1:10010", "use crio.api.stream_tls_cert /etc/x.crt". */
  action: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `the streaming server cannot ${this.action}: ${this.reason}`
  }
}
