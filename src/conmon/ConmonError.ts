/** The one error of container monitors. */
import { Schema } from "effect"

export const ConmonErrorKind = Schema.Literals([
  /** The OCI runtime refused to create the container; `reason` holds its own words. */
  "Runtime",
  /** conmon itself could not be started, placed, or died. */
  "Monitor",
  /** The log path is not one that may be written. */
  "Log",
  /** Nobody monitors the container any more. */
  "Gone",
  /** A file of the monitor could not be read, written or removed. */
  "State"
])
export type ConmonErrorKind = typeof ConmonErrorKind.Type

export class ConmonError extends Schema.TaggedError<ConmonError>()("ConmonError", {
  kind: ConmonErrorKind,
  /** What was asked for: "create", "reopen the log" … */
  operation: Schema.String,
  /** "" for the watch of all exits. */
  containerId: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `${this.operation}${this.containerId === "" ? "" : ` of container ${this.containerId}`}: ${this.reason}`
  }
}

/** Wraps a failure of the floor below. */
export const because =
  (kind: ConmonErrorKind, operation: string, containerId: string) =>
  (cause: { readonly message: string }): ConmonError =>
    ConmonError.make({ kind, operation, containerId, reason: cause.message, cause })
