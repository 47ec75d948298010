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
