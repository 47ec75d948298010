/** Which seccomp profile a container asks for. */
import { Result } from "effect"
import { posix } from "node:path"
import { type SecurityProfile, SecurityProfile_ProfileType } from "../../gen/runtime/v1/api.ts"
import { type Fault, invalid } from "../spec/fault.ts"

export type SeccompChoice =
  | { readonly kind: "unconfined" }
  | { readonly kind: "default" }
  | { readonly kind: "file"; readonly field: string; readonly path: string }

export interface SeccompRequest {
  readonly profile: SecurityProfile | undefined
  /** CRI's deprecated seccomp_profile_path; counts where `profile` is absent. */
  readonly profilePath: string
  readonly privileged: boolean
  /** privileged_seccomp_profile of the configuration; "" leaves privileged containers unconfined. */
  readonly privilegedProfile: string
}

const unconfined: SeccompChoice = { kind: "unconfined" }

const localhost = (field: string, path: string): Result.Result<SeccompChoice, Fault> =>
  posix.isAbsolute(path)
    ? Result.succeed({ kind: "file", field, path })
    : invalid(field, `${JSON.stringify(path)} is not an absolute path of a seccomp profile`)

const fromPath = (text: string): Result.Result<SeccompChoice, Fault> => {
  if (text === "" || text === "unconfined") return Result.succeed(unconfined)
  if (text === "runtime/default" || text === "docker/default") return Result.succeed({ kind: "default" })
  const field = "linux.security_context.seccomp_profile_path"
  return text.startsWith("localhost/")
    ? localhost(field, text.slice("localhost/".length))
    : invalid(field, `${JSON.stringify(text)} is neither runtime/default nor unconfined nor localhost/<path>`)
}

/** A privileged container is unconfined whatever it asks for; a request without a profile is unconfined. */
export const selectProfile = (request: SeccompRequest): Result.Result<SeccompChoice, Fault> => {
  if (request.privileged) {
    return Result.succeed(
      request.privilegedProfile === ""
        ? unconfined
        : { kind: "file", field: "privileged_seccomp_profile", path: request.privilegedProfile }
    )
  }
  if (request.profile === undefined) return fromPath(request.profilePath)
  switch (request.profile.profileType) {
    case SecurityProfile_ProfileType.RuntimeDefault:
      return Result.succeed({ kind: "default" })
    case SecurityProfile_ProfileType.Localhost:
      return localhost("linux.security_context.seccomp.localhost_ref", request.profile.localhostRef)
    default:
      return Result.succeed(unconfined)
  }
}
