/** The line that conmon writes to the sync pipe once the OCI runtime's `create` has ended. */
import { Option, Schema } from "effect"

export type SyncLine =
  | { readonly _tag: "Created"; readonly pid: number }
  /** `message` is the runtime's stderr, "" when it said nothing. */
  | { readonly _tag: "Refused"; readonly message: string }
  | { readonly _tag: "Malformed"; readonly text: string }

const Report = Schema.fromJsonString(
  Schema.Struct({
    pid: Schema.optionalKey(Schema.Int),
    /** The name of `pid` in conmon's API version 1. */
    data: Schema.optionalKey(Schema.Int),
    message: Schema.optionalKey(Schema.String)
  })
)
const decode = Schema.decodeUnknownOption(Report)

export const parseSyncLine = (line: string): SyncLine => {
  // conmon leaves one control character (0x1f) unescaped, which JSON forbids.
  // eslint-disable-next-line no-control-regex
  const report = decode(line.replace(/[\u0000-\u001f]/g, " "))
  const pid = Option.flatMap(report, (report) => Option.fromUndefinedOr(report.pid ?? report.data))
  if (Option.isNone(report) || Option.isNone(pid)) return { _tag: "Malformed", text: line }
  return pid.value > 0
    ? { _tag: "Created", pid: pid.value }
    : { _tag: "Refused", message: (report.value.message ?? "").trim() }
}
