/** The one error of this floor: a system call or a file operation that the kernel refused. */
import { Schema } from "effect"

/**
 * A refused system call. `code` is the errno's name ("ENOENT"), so callers decide by code and never by text;
 * `operation` is the call ("mount", "open"), `subject` the object it was asked for (a path, a pid).
 */
export class LinuxError extends Schema.TaggedError<LinuxError>()("LinuxError", {
  operation: Schema.String,
  subject: Schema.String,
  code: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `${this.operation} ${this.subject}: ${this.code}`
  }
}

/** True for errors that say "the thing is not there": releasing it is then already done. */
export const isGone = (error: LinuxError): boolean =>
  error.code === "ENOENT" || error.code === "ENOTDIR" || error.code === "ESRCH"

/** The same of umount2(2), which says EINVAL where nothing is mounted (any more). */
export const isUnmounted = (error: LinuxError): boolean => isGone(error) || error.code === "EINVAL"
