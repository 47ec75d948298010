/** What a concern of the specification refuses, before the container's id is put to it. */
import { Effect, Result } from "effect"
import { SpecInvalid, SpecUnsupported } from "../OciError.ts"

export interface Fault {
  readonly kind: "invalid" | "unsupported"
  readonly field: string
  readonly reason: string
}

/** The request or the image is wrong. */
export const invalid = (field: string, reason: string): Result.Result<never, Fault> =>
  Result.fail({ kind: "invalid", field, reason })

/** This host or runtime cannot do it. */
export const unsupported = (field: string, reason: string): Result.Result<never, Fault> =>
  Result.fail({ kind: "unsupported", field, reason })

export const faultError = (containerId: string, { kind, field, reason }: Fault): SpecInvalid | SpecUnsupported =>
  kind === "invalid"
    ? new SpecInvalid({ containerId, field, reason })
    : new SpecUnsupported({ containerId, field, reason })

export const orFail = <A>(
  containerId: string,
  result: Result.Result<A, Fault>
): Effect.Effect<A, SpecInvalid | SpecUnsupported> =>
  Effect.fromResult(Result.mapError(result, (fault) => faultError(containerId, fault)))
