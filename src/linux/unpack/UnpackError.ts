/** Why a layer was not unpacked. */
import { Schema } from "effect"

/** The layer's content is refused (hostile or damaged) or could not be written; `entry` is the tar entry at fault. */
export class UnpackError extends Schema.TaggedError<UnpackError>()("UnpackError", {
  directory: Schema.String,
  entry: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `unpack layer into ${this.directory}: ${this.entry === "" ? "" : `entry ${JSON.stringify(this.entry)}: `}${this.reason}`
  }
}
