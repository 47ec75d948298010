/** Why an image was not pulled or imported: names the reference, the registries asked, and what to do. */
import { Schema } from "effect"
import type { UnpackError } from "../linux/LayerUnpacker.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { MalformedDocument } from "../model/ImageDocument.ts"
import type { StoreError } from "../store/StoreError.ts"
import type { InvalidReference } from "./Reference.ts"
import type { RegistriesConfError, RegistryBlocked, ShortNameAmbiguous } from "./RegistriesConf.ts"
import type { RegistryError } from "./RegistryError.ts"
import type { SignatureValidationFailed, TrustPolicyError } from "./TrustPolicy.ts"

const fields = {
  /** Full reference, or the directory of an import. */
  reference: Schema.String,
  /** What the last place asked did: one line. */
  reason: Schema.String,
  /** What other places that were asked before did: one line each. */
  others: Schema.Array(Schema.String),
  cause: Schema.optionalKey(Schema.Defect())
}

const text = (error: { reference: string; reason: string; others: ReadonlyArray<string> }, advice: string): string => {
  const others = error.others.length === 0 ? "" : ` (mirrors also failed: ${error.others.join("; ")})`
  return `pull ${error.reference}: ${error.reason}${others}${advice === "" ? "" : `; ${advice}`}`
}

/** kubelet recognises the first word. */
export class RegistryUnavailable extends Schema.TaggedError<RegistryUnavailable>()("RegistryUnavailable", fields) {
  override get message(): string {
    return `RegistryUnavailable: ${text(this, "check that the registry runs and can be reached from this node")}`
  }
}

export class ImageNotFoundInRegistry extends Schema.TaggedError<ImageNotFoundInRegistry>()(
  "ImageNotFoundInRegistry",
  fields
) {
  override get message(): string {
    return text(this, "check the name and the tag")
  }
}

export class PullUnauthorized extends Schema.TaggedError<PullUnauthorized>()("PullUnauthorized", fields) {
  override get message(): string {
    return text(this, "check the image pull secret, or that the repository exists")
  }
}

/** The registry's answer or the node's certificates for it cannot be accepted. */
export class PullRefused extends Schema.TaggedError<PullRefused>()("PullRefused", fields) {
  override get message(): string {
    return text(this, "")
  }
}

export class PulledDigestMismatch extends Schema.TaggedError<PulledDigestMismatch>()("PulledDigestMismatch", fields) {
  override get message(): string {
    return text(this, "the registry or a cache before it serves damaged or exchanged content; nothing was kept")
  }
}

/** A manifest, configuration or layer that is refused, whoever serves it. */
export class InvalidImage extends Schema.TaggedError<InvalidImage>()("InvalidImage", fields) {
  override get message(): string {
    return text(this, "the image has to be built or pushed again")
  }
}

export class NoMatchingPlatform extends Schema.TaggedError<NoMatchingPlatform>()("NoMatchingPlatform", {
  ...fields,
  wanted: Schema.String,
  offered: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return text(this, "")
  }
}

/** The image is fine, but this node could not store it. */
export class PullNotStored extends Schema.TaggedError<PullNotStored>()("PullNotStored", fields) {
  override get message(): string {
    return text(this, "check the space and the state of the image store")
  }
}

export type PullError =
  | RegistryUnavailable
  | ImageNotFoundInRegistry
  | PullUnauthorized
  | PullRefused
  | PulledDigestMismatch
  | InvalidImage
  | NoMatchingPlatform
  | PullNotStored
  | InvalidReference
  | ShortNameAmbiguous
  | RegistryBlocked
  | RegistriesConfError
  | SignatureValidationFailed
  | TrustPolicyError

/** What one attempt to install an image can meet. */
export type AttemptError =
  | RegistryError
  | MalformedDocument
  | NoMatchingPlatform
  | UnpackError
  | StoreError
  | LinuxError

/** A failure of this node, which no other registry can help. */
export const isLocal = (error: AttemptError): boolean => {
  switch (error._tag) {
    case "LinuxError":
    case "StoreIo":
    case "StoreCorrupt":
    case "ImageNotFound":
    case "ImageInUse":
    case "LayerMissing":
    case "ContainerNotFound":
    case "ContainerNameInUse":
    case "LayersNotMappable":
    case "TooManyLayers":
      return true
    default:
      return false
  }
}

/** The error of the last attempt in the terms of the pull. */
export const toPullError = (
  reference: string,
  error: AttemptError,
  others: ReadonlyArray<string>
): Exclude<
  PullError,
  | InvalidReference
  | ShortNameAmbiguous
  | RegistryBlocked
  | RegistriesConfError
  | SignatureValidationFailed
  | TrustPolicyError
> => {
  const common = { reference, reason: error.message, others, cause: error }
  switch (error._tag) {
    case "RegistryUnreachable":
    case "TransferStalled":
      return new RegistryUnavailable(common)
    case "RegistryRefused":
      return error.status === 429 || error.status >= 500 ? new RegistryUnavailable(common) : new PullRefused(common)
    case "NotInRegistry":
      return new ImageNotFoundInRegistry(common)
    case "RegistryDenied":
      return new PullUnauthorized(common)
    case "RegistryMisbehaved":
    case "CertificatesUnusable":
      return new PullRefused(common)
    case "ContentMismatch":
    case "DigestMismatch":
      return new PulledDigestMismatch(common)
    case "MalformedDocument":
    case "ImageInvalid":
    case "UnpackError":
      return new InvalidImage(common)
    case "NoMatchingPlatform":
      return new NoMatchingPlatform({ ...common, wanted: error.wanted, offered: error.offered })
    case "LinuxError":
    case "StoreIo":
    case "StoreCorrupt":
    case "ImageNotFound":
    case "ImageInUse":
    case "LayerMissing":
    case "ContainerNotFound":
    case "ContainerNameInUse":
    case "LayersNotMappable":
    case "TooManyLayers":
      return new PullNotStored(common)
  }
}
