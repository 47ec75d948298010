/** Seccomp profiles in files: in OCI's form, or in Docker's, which has conditions on capabilities and architectures. */
import { Effect, Result, Schema } from "effect"
import { parseJson, type Seccomp, type SeccompRule } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "../spec/fault.ts"
import type { Architecture } from "./runtimeDefault.ts"

const Action = Schema.Literals([
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_TRAP"
])

/** uint64: masks use all of it. */
const Value = Schema.Union([Schema.Natural, Schema.BigInt])

const Argument = Schema.Struct({
  index: Schema.Natural,
  value: Value,
  valueTwo: Schema.optionalKey(Value),
  op: Schema.Literals([
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ"
  ])
})

const texts = Schema.Array(Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

/** Docker's conditions; an empty list is no condition. */
const Condition = Schema.Struct({
  caps: texts,
  arches: texts,
  minKernel: Schema.optionalKey(Schema.String)
})
type Condition = typeof Condition.Type

const Rule = Schema.Struct({
  names: texts,
  name: Schema.optionalKey(Schema.String),
  action: Action,
  errnoRet: Schema.optionalKey(Schema.Natural),
  args: Schema.Array(Argument).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  includes: Schema.optionalKey(Condition),
  excludes: Schema.optionalKey(Condition)
})

const Profile = Schema.Struct({
  defaultAction: Action,
  defaultErrnoRet: Schema.optionalKey(Schema.Natural),
  architectures: Schema.optionalKey(Schema.Array(Schema.String)),
  archMap: Schema.optionalKey(Schema.Array(Schema.Struct({ architecture: Schema.String, subArchitectures: texts }))),
  flags: Schema.optionalKey(Schema.Array(Schema.String)),
  syscalls: Schema.Array(Rule).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))
})

const decodeProfile = Schema.decodeUnknownResult(Profile)

const decode = (text: string): Result.Result<typeof Profile.Type, Error> =>
  Result.flatMap(Result.try({ try: () => parseJson(text), catch: (error) => error as Error }), (json) =>
    decodeProfile(json)
  )

/** Bytes; the largest known profiles have some 30 KiB. */
export const largestProfile = 1024 * 1024

export interface ProfileContext {
  readonly capabilities: ReadonlySet<string>
  readonly architecture: Architecture
  readonly kernel: readonly [number, number]
}

const kernelAtLeast = (wanted: string, [major, minor]: readonly [number, number]): boolean => {
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(".").map(Number)
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

const included = (condition: Condition, context: ProfileContext): boolean =>
  condition.caps.every((name) => context.capabilities.has(name)) &&
  (condition.arches.length === 0 || condition.arches.includes(context.architecture)) &&
  (condition.minKernel === undefined || kernelAtLeast(condition.minKernel, context.kernel))

const excluded = (condition: Condition, context: ProfileContext): boolean =>
  condition.caps.some((name) => context.capabilities.has(name)) ||
  condition.arches.includes(context.architecture) ||
  (condition.minKernel !== undefined && kernelAtLeast(condition.minKernel, context.kernel))

const nativeArchitecture: Readonly<Record<Architecture, string>> = {
  amd64: "SCMP_ARCH_X86_64",
  arm64: "SCMP_ARCH_AARCH64"
}

const architecturesOf = (profile: typeof Profile.Type, context: ProfileContext) => {
  if (profile.archMap === undefined || profile.archMap.length === 0) return profile.architectures
  const native = nativeArchitecture[context.architecture]
  const entry = profile.archMap.find(({ architecture }) => architecture === native)
  return entry === undefined ? [native] : [native, ...entry.subArchitectures]
}

const toRule = ({ names, name, action, errnoRet, args }: typeof Rule.Type): SeccompRule => ({
  names: name === undefined ? names : [...names, name],
  action,
  ...(errnoRet === undefined ? {} : { errnoRet }),
  ...(args.length === 0 ? {} : { args })
})

/** `field` names the option or CRI field that named the file. */
export const parseProfile = (
  field: string,
  path: string,
  text: string,
  context: ProfileContext
): Result.Result<Seccomp, Fault> => {
  const decoded = decode(text)
  if (Result.isFailure(decoded)) {
    return invalid(field, `${path} is not a seccomp profile: ${decoded.failure.message.split("\n").join(" ")}`)
  }
  const profile = decoded.success
  const nameless = profile.syscalls.findIndex((rule) => rule.names.length === 0 && rule.name === undefined)
  if (nameless >= 0) return invalid(field, `${path}: syscalls[${nameless}] names no system call`)
  const architectures = architecturesOf(profile, context)
  return Result.succeed({
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures === undefined ? {} : { architectures }),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    syscalls: profile.syscalls
      .filter((rule) => rule.includes === undefined || included(rule.includes, context))
      .filter((rule) => rule.excludes === undefined || !excluded(rule.excludes, context))
      .map(toRule)
  })
}
