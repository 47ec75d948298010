/** The one error of pod networking. */
import { Schema } from "effect"

export const CniErrorKind = Schema.Literals([
  /** No usable network configuration: an administrator or a network add-on has to act. */
  "NotReady",
  /** The request asks for something that no plugin can be asked for. */
  "Invalid",
  /** A plugin refused, died or answered nonsense. */
  "Plugin",
  /** The chain took longer than its limit and was killed. */
  "Timeout",
  /** The record of the attachment (cacheDirectory/results) could not be read or written. */
  "State"
])
export type CniErrorKind = typeof CniErrorKind.Type

/** A failed operation on the network of one pod; `podId` is "" for STATUS, GC and VERSION, which concern none. */
export class CniError extends Schema.TaggedError<CniError>()("CniError", {
  kind: CniErrorKind,
  /** The CNI command ("ADD", "DEL" …). */
  operation: Schema.String,
  podId: Schema.String,
  network: Schema.String,
  /** The plugin's type, "" when the failure is not that of one plugin. */
  plugin: Schema.String,
  /** The error code that the plugin printed (CNI specification, section 5). */
  code: Schema.optionalKey(Schema.Int),
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    const subject = [
      this.podId === "" ? "" : ` of pod ${this.podId}`,
      this.network === "" ? "" : `, network ${JSON.stringify(this.network)}`,
      this.plugin === "" ? "" : `, plugin ${JSON.stringify(this.plugin)}`
    ]
    return `CNI ${this.operation}${subject.join("")}: ${this.reason}`
  }
}
