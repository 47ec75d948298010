/**
 * The one table from typed errors to gRPC codes. To let an RPC fail with a new error: join its class to `RpcError` and
 * add its row; the compiler refuses a class without a row, a row without a class, and a handler with any other error.
 * The code says how the kubelet goes on (docs of k8s.io/cri-api): NotFound is "already gone", Unavailable is "ask again".
 */
import { status } from "@grpc/grpc-js"
import { Cause, Option } from "effect"
import type { CgroupError } from "../cgroup/CgroupError.ts"
import type { CniError } from "../cni/CniError.ts"
import type { ConmonError } from "../conmon/ConmonError.ts"
import type { PullError } from "../image/PullError.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { UnpackError } from "../linux/LayerUnpacker.ts"
import type { ExecNotKilled, ExecTimedOut, RuntimeError, SpecError, UnknownRuntimeHandler } from "../oci/OciError.ts"
import type { PodError } from "../pod/PodError.ts"
import type { StoreError } from "../store/StoreError.ts"
import type { TooManyRequests } from "../streaming/StreamingError.ts"
import type { EventsDisabled, ResponseTooLarge, StillRecovering } from "./CriError.ts"
import { redactText } from "./redact.ts"

export type RpcError =
  | StillRecovering
  | ResponseTooLarge
  | EventsDisabled
  | PodError
  | SpecError
  | RuntimeError
  | UnknownRuntimeHandler
  | ExecTimedOut
  | ExecNotKilled
  | ConmonError
  | CniError
  | CgroupError
  | PullError
  | StoreError
  | UnpackError
  | TooManyRequests
  | LinuxError

// NOT_FOUND is of what the client named and nothing else: kubelet goes on as after a removal.
// UNKNOWN keeps a pull's text as it is: kubelet takes the event's reason from how it begins.
const codes: Record<RpcError["_tag"], status> = {
  StillRecovering: status.UNAVAILABLE,
  ResponseTooLarge: status.RESOURCE_EXHAUSTED,
  EventsDisabled: status.UNIMPLEMENTED,

  PodNotFound: status.NOT_FOUND,
  ContainerNotFound: status.NOT_FOUND,
  ImageMissing: status.NOT_FOUND,
  ImageVolumeMountFailed: status.UNKNOWN,
  AmbiguousId: status.INVALID_ARGUMENT,
  InvalidRequest: status.INVALID_ARGUMENT,
  WrongState: status.FAILED_PRECONDITION,
  NameReserved: status.ALREADY_EXISTS,
  StepFailed: status.UNKNOWN,
  ReleaseFailed: status.UNKNOWN,
  RecordError: status.UNKNOWN,

  SpecInvalid: status.INVALID_ARGUMENT,
  SpecUnsupported: status.UNKNOWN,
  SpecHostError: status.UNKNOWN,
  RuntimeCommandFailed: status.UNKNOWN,
  RuntimeContainerUnknown: status.UNKNOWN,
  RuntimeUnavailable: status.UNKNOWN,
  UnknownRuntimeHandler: status.INVALID_ARGUMENT,
  ExecTimedOut: status.DEADLINE_EXCEEDED,
  ExecNotKilled: status.UNKNOWN,

  ConmonError: status.UNKNOWN,
  CniError: status.UNKNOWN,
  CgroupError: status.INVALID_ARGUMENT,

  RegistryUnavailable: status.UNKNOWN,
  ImageNotFoundInRegistry: status.NOT_FOUND,
  PullUnauthorized: status.UNKNOWN,
  PullRefused: status.UNKNOWN,
  DigestMismatch: status.UNKNOWN,
  PulledDigestMismatch: status.UNKNOWN,
  InvalidImage: status.UNKNOWN,
  NoMatchingPlatform: status.UNKNOWN,
  PullNotStored: status.UNKNOWN,
  InvalidReference: status.INVALID_ARGUMENT,
  ShortNameAmbiguous: status.INVALID_ARGUMENT,
  RegistryBlocked: status.UNKNOWN,
  RegistriesConfError: status.UNKNOWN,
  SignatureValidationFailed: status.UNKNOWN,
  TrustPolicyError: status.UNKNOWN,

  StoreIo: status.UNKNOWN,
  StoreCorrupt: status.UNKNOWN,
  ImageNotFound: status.NOT_FOUND,
  ImageInUse: status.FAILED_PRECONDITION,
  LayerMissing: status.UNKNOWN,
  ImageInvalid: status.UNKNOWN,
  ContainerNameInUse: status.ALREADY_EXISTS,
  LayersNotMappable: status.FAILED_PRECONDITION,
  TooManyLayers: status.UNKNOWN,
  UnpackError: status.UNKNOWN,

  TooManyRequests: status.RESOURCE_EXHAUSTED,

  LinuxError: status.UNKNOWN
}

export interface RpcStatus {
  readonly code: status
  /** The code as its protobuf name ("NOT_FOUND"), for logs. */
  readonly name: string
  /** What the client reads: the error's message, well-formed, without secrets, at most 4096 characters. */
  readonly details: string
}

// The message travels percent-encoded in an HTTP/2 header and ends up in pod events.
const maxDetails = 4096

const makeStatus = (code: status, text: string): RpcStatus => {
  const redacted = redactText(text)
  const cut = redacted.length > maxDetails ? `${redacted.slice(0, maxDetails - 1)}…` : redacted
  return { code, name: status[code], details: cut.toWellFormed() }
}

/**
 * A failure keeps its message; a defect's text stays in the log, since nobody wrote it for a client to read; a cause of
 * nothing but interrupts means that the client has gone or the daemon ends.
 */
export const statusOf = (cause: Cause.Cause<RpcError>): RpcStatus => {
  const error = Cause.findErrorOption(cause)
  if (Option.isSome(error)) return makeStatus(codes[error.value._tag], error.value.message)
  if (Cause.hasInterruptsOnly(cause)) return makeStatus(status.CANCELLED, "cancelled")
  return makeStatus(status.INTERNAL, "internal error; cricket's log has the details")
}

/** Messages from the error down its `cause` and `reason` links, outermost first, without repetitions. */
export const causeChain = (error: unknown): ReadonlyArray<string> => {
  const chain: Array<string> = []
  const seen = new Set<unknown>()
  let current = error
  while (current !== undefined && current !== null && !seen.has(current)) {
    seen.add(current)
    const message = current instanceof Error ? current.message : typeof current === "string" ? current : undefined
    if (message !== undefined && message !== "" && !chain.some((above) => above.includes(message))) chain.push(message)
    if (typeof current !== "object") break
    const { cause, reason } = current as { readonly cause?: unknown; readonly reason?: unknown }
    current = cause ?? reason
  }
  return chain
}
