/** Failures of the pod domain. Each message names the object; the gRPC edge gives each tag its code. */
import { Schema } from "effect"
import { messageOf } from "../linux/messageOf.ts"

const cause = Schema.optionalKey(Schema.Defect())

export class PodNotFound extends Schema.TaggedError<PodNotFound>()("PodNotFound", { id: Schema.String }) {
  override get message(): string {
    return `pod sandbox ${JSON.stringify(this.id)} not found`
  }
}

export class ContainerNotFound extends Schema.TaggedError<ContainerNotFound>()("ContainerNotFound", {
  id: Schema.String
}) {
  override get message(): string {
    return `container ${JSON.stringify(this.id)} not found`
  }
}

/** A short id that more than one object has. */
export class AmbiguousId extends Schema.TaggedError<AmbiguousId>()("AmbiguousId", {
  id: Schema.String,
  matches: Schema.Int
}) {
  override get message(): string {
    return `id ${JSON.stringify(this.id)} is ambiguous: ${this.matches} objects start with it; give more of it`
  }
}

/** Containers are made of images that are here: kubelet pulls first. */
export class ImageMissing extends Schema.TaggedError<ImageMissing>()("ImageMissing", { image: Schema.String }) {
  override get message(): string {
    return `image ${JSON.stringify(this.image)} is not on this node; pull it first`
  }
}

/** kubelet knows the first word. */
export class ImageVolumeMountFailed extends Schema.TaggedError<ImageVolumeMountFailed>()("ImageVolumeMountFailed", {
  image: Schema.String,
  containerPath: Schema.String,
  reason: Schema.String,
  cause
}) {
  override get message(): string {
    return `ImageVolumeMountFailed: image ${JSON.stringify(this.image)} for ${this.containerPath}: ${this.reason}`
  }
}

/** The request itself is wrong; nothing was taken. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  field: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `invalid request: ${this.field}: ${this.reason}`
  }
}

/** The object's state does not allow what was asked. */
export class WrongState extends Schema.TaggedError<WrongState>()("WrongState", {
  object: Schema.String,
  action: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `cannot ${this.action} ${this.object}: ${this.reason}`
  }
}

/** Another object has the name and cannot be handed over. */
export class NameReserved extends Schema.TaggedError<NameReserved>()("NameReserved", {
  name: Schema.String,
  holder: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `name ${this.name} is reserved by ${this.holder}: ${this.reason}`
  }
}

/** A step of a start failed; what it had taken has been given back. */
export class StepFailed extends Schema.TaggedError<StepFailed>()("StepFailed", {
  object: Schema.String,
  step: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.object}: ${this.step}: ${messageOf(this.cause)}`
  }
}

/** A release took longer than it may: what it waits for has a fault of its own. */
export class ReleaseTimeout extends Schema.TaggedError<ReleaseTimeout>()("ReleaseTimeout", { limit: Schema.String }) {
  override get message(): string {
    return `not done in ${this.limit}`
  }
}

/** Something could not be given back. Its row stays in the record and the release is tried again until it succeeds. */
export class ReleaseFailed extends Schema.TaggedError<ReleaseFailed>()("ReleaseFailed", {
  object: Schema.String,
  resource: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.object}: cannot release ${this.resource}: ${messageOf(this.cause)}; it is tried again in the background`
  }
}

/** A record could not be written: the step it announces was not taken. */
export class RecordError extends Schema.TaggedError<RecordError>()("RecordError", {
  path: Schema.String,
  reason: Schema.String,
  cause
}) {
  override get message(): string {
    return `record ${this.path}: ${this.reason}`
  }
}

/** No connection to a port of the pod. */
export class DialFailed extends Schema.TaggedError<DialFailed>()("DialFailed", {
  podId: Schema.String,
  port: Schema.Finite,
  reason: Schema.String,
  cause
}) {
  override get message(): string {
    return `error forwarding port ${this.port} to pod ${this.podId}: ${this.reason}`
  }
}

export type PodError =
  | PodNotFound
  | ContainerNotFound
  | AmbiguousId
  | ImageMissing
  | ImageVolumeMountFailed
  | InvalidRequest
  | WrongState
  | NameReserved
  | StepFailed
  | ReleaseFailed
  | RecordError
