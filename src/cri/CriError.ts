/** What can go wrong at the gRPC edge itself. */
import { Schema } from "effect"
import { messageOf } from "../linux/messageOf.ts"

/** Another process answers on the socket: two daemons must never share one. */
export class SocketInUse extends Schema.TaggedError<SocketInUse>()("SocketInUse", { path: Schema.String }) {
  override get message(): string {
    return `another process is listening on ${this.path}; stop it first, or choose another socket with --listen`
  }
}

/** The socket could not be made; `operation` names the step that failed. */
export class SocketError extends Schema.TaggedError<SocketError>()("SocketError", {
  path: Schema.String,
  operation: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `cannot listen on ${this.path}: ${this.operation} failed: ${messageOf(this.cause)}`
  }
}

/** The daemon has not yet taken stock of what its predecessor left; clients retry. */
export class StillRecovering extends Schema.TaggedError<StillRecovering>()("StillRecovering", {}) {
  override get message(): string {
    return "cricket has just started and is still recovering its pods; try again in a moment"
  }
}

/** A response above grpc_max_send_msg_size; sizes in bytes. */
export class ResponseTooLarge extends Schema.TaggedError<ResponseTooLarge>()("ResponseTooLarge", {
  size: Schema.Int,
  limit: Schema.Int
}) {
  override get message(): string {
    return `the response has ${this.size} bytes and grpc_max_send_msg_size allows ${this.limit}; use a filter or raise the limit`
  }
}

/** The configuration says that nobody gets events. */
export class EventsDisabled extends Schema.TaggedError<EventsDisabled>()("EventsDisabled", {}) {
  override get message(): string {
    return "container events are switched off; set enable_pod_events = true in [crio.runtime] and restart cricket"
  }
}
