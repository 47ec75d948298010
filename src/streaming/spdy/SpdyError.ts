/** What a peer can do wrong on a SPDY connection. */
import { Schema } from "effect"

/** Bytes that break SPDY/3.1 or exceed a limit; nothing on the connection can be trusted after them. */
export class SpdyError extends Schema.TaggedError<SpdyError>()("SpdyError", {
  /** "a SETTINGS frame that promises 7 settings in 12 bytes". */
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `the client broke the SPDY protocol: ${this.reason}`
  }
}
