/** Failures of the OCI floor. Each message names the object; the gRPC edge gives each tag its code. */
import { Schema } from "effect"

const cause = Schema.optionalKey(Schema.Defect())

/** The request or the image asks for something that no retry can make right. `field` is the CRI or image field. */
export class SpecInvalid extends Schema.TaggedError<SpecInvalid>()("SpecInvalid", {
  containerId: Schema.String,
  field: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `container ${this.containerId}: ${this.field}: ${this.reason}`
  }
}

/** The request is right, but this host, runtime or daemon cannot do it. `reason` starts with the prefix kubelet knows. */
export class SpecUnsupported extends Schema.TaggedError<SpecUnsupported>()("SpecUnsupported", {
  containerId: Schema.String,
  field: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.reason} (container ${this.containerId}, ${this.field})`
  }
}

/** A file of the host or of the image that the specification depends on could not be read or made. */
export class SpecHostError extends Schema.TaggedError<SpecHostError>()("SpecHostError", {
  containerId: Schema.String,
  field: Schema.String,
  path: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const reason = this.cause instanceof Error ? this.cause.message : "cannot be used"
    return `container ${this.containerId}: ${this.field}: ${this.path}: ${reason}`
  }
}

export type SpecError = SpecInvalid | SpecUnsupported | SpecHostError

/** RuntimeClass names a handler that the daemon does not have. */
export class UnknownRuntimeHandler extends Schema.TaggedError<UnknownRuntimeHandler>()("UnknownRuntimeHandler", {
  handler: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `no runtime handler ${JSON.stringify(this.handler)}; configured and usable: ${this.known.join(", ")}`
  }
}

/** A configured handler cannot be used. Fatal for the default handler only. */
export class RuntimeHandlerInvalid extends Schema.TaggedError<RuntimeHandlerInvalid>()("RuntimeHandlerInvalid", {
  handler: Schema.String,
  reason: Schema.String,
  cause
}) {
  override get message(): string {
    return `runtime handler ${this.handler}: ${this.reason}`
  }
}

/** The OCI runtime ran and refused; `detail` is its own message. */
export class RuntimeCommandFailed extends Schema.TaggedError<RuntimeCommandFailed>()("RuntimeCommandFailed", {
  containerId: Schema.String,
  /** "crun", "runc" … */
  runtime: Schema.String,
  /** "start", "exec" … */
  command: Schema.String,
  /** null when a signal ended the runtime. */
  exitCode: Schema.NullOr(Schema.Int),
  detail: Schema.String
}) {
  override get message(): string {
    const status = this.exitCode === null ? "killed by a signal" : `exit code ${this.exitCode}`
    return `${this.runtime} ${this.command} of container ${this.containerId}: ${this.detail} (${status})`
  }
}

/** The OCI runtime has no such container. */
export class RuntimeContainerUnknown extends Schema.TaggedError<RuntimeContainerUnknown>()("RuntimeContainerUnknown", {
  containerId: Schema.String,
  runtime: Schema.String
}) {
  override get message(): string {
    return `${this.runtime} has no container ${this.containerId}`
  }
}

/** The runtime could not be started, its files not be written, or its answer not be understood. */
export class RuntimeUnavailable extends Schema.TaggedError<RuntimeUnavailable>()("RuntimeUnavailable", {
  containerId: Schema.String,
  runtime: Schema.String,
  command: Schema.String,
  reason: Schema.String,
  cause
}) {
  override get message(): string {
    return `${this.runtime} ${this.command} of container ${this.containerId}: ${this.reason}`
  }
}

/** An exec did not end in time; every process it had started was killed. */
export class ExecTimedOut extends Schema.TaggedError<ExecTimedOut>()("ExecTimedOut", {
  containerId: Schema.String,
  seconds: Schema.Finite
}) {
  override get message(): string {
    return `exec in container ${this.containerId}: command timed out after ${this.seconds} s`
  }
}

/** Processes of an ended exec that survived every attempt to kill them. */
export class ExecNotKilled extends Schema.TaggedError<ExecNotKilled>()("ExecNotKilled", {
  containerId: Schema.String,
  pids: Schema.Array(Schema.Int)
}) {
  override get message(): string {
    return `exec in container ${this.containerId}: processes ${this.pids.join(", ")} could not be killed`
  }
}

export type RuntimeError = RuntimeCommandFailed | RuntimeContainerUnknown | RuntimeUnavailable
