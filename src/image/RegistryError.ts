/** What one registry did wrong; the pull turns it into an error that names the image and what to do. */
import { Schema } from "effect"
import type { MalformedDocument } from "../model/ImageDocument.ts"

const fields = {
  /** Host and port asked. */
  host: Schema.String,
  /** "manifest latest of library/busybox", "blob sha256:…". */
  what: Schema.String
}

/** No answer: name resolution, connection or TLS failed, or the connection broke off. */
export class RegistryUnreachable extends Schema.TaggedError<RegistryUnreachable>()("RegistryUnreachable", {
  ...fields,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `${this.what}: no answer from ${this.host}: ${this.reason}`
  }
}

/** An answer that stopped arriving: less than the least useful amount of bytes within the time. */
export class TransferStalled extends Schema.TaggedError<TransferStalled>()("TransferStalled", {
  ...fields,
  seconds: Schema.Finite,
  /** Bytes received before. */
  received: Schema.Finite
}) {
  override get message(): string {
    return `${this.what}: ${this.host} sent nothing useful for ${this.seconds} s after ${this.received} bytes`
  }
}

/** 401 or 403, or a token server that refused. */
export class RegistryDenied extends Schema.TaggedError<RegistryDenied>()("RegistryDenied", {
  ...fields,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.what}: access denied by ${this.host}: ${this.reason}`
  }
}

/** 404. */
export class NotInRegistry extends Schema.TaggedError<NotInRegistry>()("NotInRegistry", {
  ...fields,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.what}: not found at ${this.host}: ${this.reason}`
  }
}

/** Any other status. */
export class RegistryRefused extends Schema.TaggedError<RegistryRefused>()("RegistryRefused", {
  ...fields,
  status: Schema.Finite,
  reason: Schema.String,
  /** From Retry-After. */
  retryAfterMs: Schema.optionalKey(Schema.Finite)
}) {
  override get message(): string {
    return `${this.what}: ${this.host} answered ${this.status}: ${this.reason}`
  }
}

/** An answer that the protocol does not allow, or that could carry credentials away. */
export class RegistryMisbehaved extends Schema.TaggedError<RegistryMisbehaved>()("RegistryMisbehaved", {
  ...fields,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.what}: unacceptable answer from ${this.host}: ${this.reason}`
  }
}

/** The bytes are not those that the digest or the descriptor promised. */
export class ContentMismatch extends Schema.TaggedError<ContentMismatch>()("ContentMismatch", {
  ...fields,
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message(): string {
    return `${this.what}: ${this.host} sent ${this.actual} instead of ${this.expected}`
  }
}

/** The certs.d directory of a registry (containers-certs.d(5)) cannot be used. */
export class CertificatesUnusable extends Schema.TaggedError<CertificatesUnusable>()("CertificatesUnusable", {
  host: Schema.String,
  path: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `certificates for ${this.host} in ${this.path}: ${this.reason}`
  }
}

export type RegistryError =
  | CertificatesUnusable
  | RegistryUnreachable
  | TransferStalled
  | RegistryDenied
  | NotInRegistry
  | RegistryRefused
  | RegistryMisbehaved
  | ContentMismatch

/** What reading an image from a registry or a directory can meet. */
export type SourceError = RegistryError | MalformedDocument

/** Worth another try at the same registry. */
export const isTransient = (error: RegistryError): boolean => {
  switch (error._tag) {
    case "RegistryUnreachable":
    case "TransferStalled":
      return true
    case "RegistryRefused":
      return error.status === 408 || error.status === 429 || error.status >= 500
    case "CertificatesUnusable":
    case "RegistryDenied":
    case "NotInRegistry":
    case "RegistryMisbehaved":
    case "ContentMismatch":
      return false
  }
}
