/** Why there is no configuration to run with. */
import { Schema } from "effect"

/** Everything that is wrong, found in one run; `problems` are ready to be printed, several lines each. */
export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", {
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const count = this.problems.length === 1 ? "1 error" : `${this.problems.length} errors`
    return `${this.problems.join("\n\n")}\n\n${count} in the configuration`
  }
}
