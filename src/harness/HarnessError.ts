/** What ends a run of the harness. A violation is the target's doing; the others mean that nothing can be said of it. */
import { Schema } from "effect"

/** The target broke a rule (Rules.ts). */
export class Violation extends Schema.TaggedError<Violation>()("Violation", {
  rule: Schema.String,
  details: Schema.String
}) {
  override get message(): string {
    return `${this.rule}: ${this.details}`
  }
}

/** A profile, a scenario or a command line that is not understood: every problem at once. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  source: Schema.String,
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return this.problems.map((problem) => `${this.source}: ${problem}`).join("\n")
  }
}

/** The target could not be brought to where it can be tested. */
export class TargetError extends Schema.TaggedError<TargetError>()("TargetError", {
  target: Schema.String,
  action: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `${this.target}: ${this.action}: ${this.reason}`
  }
}
