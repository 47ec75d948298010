/** Profiles that confine a container's system calls and files: chosen by the request, read from the host. */
import { Effect, Result } from "effect"
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from "../../gen/runtime/v1/api.ts"
import { Files } from "../../linux/Files.ts"
import type { HostFactsShape } from "../HostFacts.ts"
import { SpecHostError } from "../OciError.ts"
import { largestProfile, parseProfile } from "../seccomp/profileFile.ts"
import { runtimeDefault } from "../seccomp/runtimeDefault.ts"
import { selectProfile } from "../seccomp/selectProfile.ts"
import { type Fault, invalid, orFail, unsupported } from "../spec/fault.ts"

type ProfileFields = Pick<
  LinuxContainerSecurityContext,
  "privileged" | "seccomp" | "seccompProfilePath" | "apparmor" | "apparmorProfile"
>

export interface SecurityInput {
  readonly containerId: string
  readonly context: ProfileFields | undefined
  /** That the container gets ("CAP_…"). */
  readonly capabilities: ReadonlySet<string>
  readonly facts: HostFactsShape
  /** The file that RuntimeDefault stands for; "" is the built-in profile. */
  readonly defaultSeccomp: string
  readonly privilegedSeccomp: string
  /** The AppArmor profile that RuntimeDefault stands for. */
  readonly defaultApparmor: string
}

export const resolveSeccomp = Effect.fnUntraced(function* (input: SecurityInput) {
  const files = yield* Files
  const { containerId, context, facts } = input
  const choice = yield* orFail(
    containerId,
    selectProfile({
      profile: context?.seccomp,
      profilePath: context?.seccompProfilePath ?? "",
      privileged: context?.privileged ?? false,
      privilegedProfile: input.privilegedSeccomp
    })
  )
  if (choice.kind === "unconfined") return undefined
  if (!facts.seccomp) {
    return choice.kind === "default"
      ? undefined
      : yield* orFail(containerId, unsupported(choice.field, `the kernel has no seccomp for ${choice.path}`))
  }
  if (choice.kind === "default" && input.defaultSeccomp === "") {
    return runtimeDefault(input.capabilities, facts.architecture)
  }
  const [field, path] = choice.kind === "file" ? [choice.field, choice.path] : ["seccomp_profile", input.defaultSeccomp]
  const text = yield* Effect.mapError(
    files.readText(path, { maxBytes: largestProfile }),
    (cause) => new SpecHostError({ containerId, field, path, cause })
  )
  const { capabilities } = input
  return yield* orFail(
    containerId,
    parseProfile(field, path, text, { capabilities, architecture: facts.architecture, kernel: facts.kernel })
  )
})

type ApparmorChoice =
  | { readonly kind: "default" | "unconfined" }
  | { readonly kind: "localhost"; readonly name: string }

/** CRI's `apparmor`, else the deprecated name; nothing at all is RuntimeDefault. */
const apparmorChoice = (context: ProfileFields | undefined): Result.Result<ApparmorChoice, Fault> => {
  const field = "linux.security_context.apparmor"
  const localhost = (name: string): Result.Result<ApparmorChoice, Fault> =>
    name === "" ? invalid(`${field}.localhost_ref`, "is empty") : Result.succeed({ kind: "localhost", name })
  if (context?.apparmor !== undefined) {
    switch (context.apparmor.profileType) {
      case SecurityProfile_ProfileType.Unconfined:
        return Result.succeed({ kind: "unconfined" })
      case SecurityProfile_ProfileType.Localhost:
        return localhost(context.apparmor.localhostRef.replace(/^localhost\//, ""))
      default:
        return Result.succeed({ kind: "default" })
    }
  }
  const text = context?.apparmorProfile ?? ""
  if (text === "" || text === "runtime/default") return Result.succeed({ kind: "default" })
  if (text === "unconfined") return Result.succeed({ kind: "unconfined" })
  return text.startsWith("localhost/")
    ? localhost(text.slice("localhost/".length))
    : invalid(
        `${field}_profile`,
        `${JSON.stringify(text)} is neither runtime/default nor unconfined nor localhost/<name>`
      )
}

const loadedProfiles = "/sys/kernel/security/apparmor/profiles"

/** Name of the profile to apply, undefined for none. A profile that is asked for by name has to be loaded. */
export const resolveApparmor = Effect.fnUntraced(function* (input: SecurityInput) {
  const files = yield* Files
  const { containerId, context, facts } = input
  const choice = yield* orFail(containerId, apparmorChoice(context))
  const field = "linux.security_context.apparmor"
  if (!facts.apparmor) {
    return choice.kind === "localhost" && context?.privileged !== true
      ? yield* orFail(
          containerId,
          unsupported(field, `AppArmor is not enabled on this host: profile ${choice.name} cannot be applied`)
        )
      : undefined
  }
  if (context?.privileged === true || choice.kind === "unconfined") return undefined
  const name = choice.kind === "localhost" ? choice.name : input.defaultApparmor
  // Lines are "name (mode)".
  const text = yield* Effect.mapError(
    files.readText(loadedProfiles),
    (cause) => new SpecHostError({ containerId, field, path: loadedProfiles, cause })
  )
  const loaded = text.split("\n").some((line) => line.startsWith(`${name} (`))
  if (loaded) return name
  return choice.kind === "localhost"
    ? yield* orFail(containerId, invalid(field, `AppArmor profile ${name} is not loaded on this host`))
    : undefined
})
