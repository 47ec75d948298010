/** config.json of the OCI runtime-spec 1.0.2 (config.md, config-linux.md), as far as Cricket writes it. No effects. */
import { Result, Schema } from "effect"

/** Numbers that JSON carries as int64 or uint64: a bigint where a double could not hold the value. */
export type Int64 = number | bigint

const Int64 = Schema.Union([Schema.Finite, Schema.BigInt])
const texts = Schema.Array(Schema.String)

/** config.md "POSIX process", "Linux process", "User". The one part that is read back: exec starts from it. */
export const Process = Schema.Struct({
  terminal: Schema.Boolean,
  /** In characters; of a terminal only. */
  consoleSize: Schema.optionalKey(Schema.Struct({ height: Schema.Int, width: Schema.Int })),
  user: Schema.Struct({
    uid: Schema.Int,
    gid: Schema.Int,
    additionalGids: Schema.Array(Schema.Int),
    umask: Schema.optionalKey(Schema.Int)
  }),
  /** Of an exec: lists of processors (runtime-spec 1.2.1). */
  execCPUAffinity: Schema.optionalKey(Schema.Struct({ initial: Schema.String, final: Schema.String })),
  args: texts,
  /** "NAME=value". */
  env: texts,
  cwd: Schema.String,
  capabilities: Schema.Struct({
    bounding: texts,
    effective: texts,
    inheritable: texts,
    permitted: texts,
    ambient: texts
  }),
  rlimits: Schema.Array(Schema.Struct({ type: Schema.String, hard: Int64, soft: Int64 })),
  noNewPrivileges: Schema.Boolean,
  oomScoreAdj: Schema.optionalKey(Schema.Int),
  apparmorProfile: Schema.optionalKey(Schema.String)
})
export type Process = typeof Process.Type

export type Capabilities = Process["capabilities"]
export type Rlimit = Process["rlimits"][number]

/** config-linux.md "User namespace mappings". */
export interface IdMap {
  readonly containerID: number
  readonly hostID: number
  readonly size: number
}

export interface Mount {
  readonly destination: string
  readonly type: string
  readonly source: string
  readonly options: ReadonlyArray<string>
  /** Both or none: an idmapped mount. */
  readonly uidMappings?: ReadonlyArray<IdMap>
  readonly gidMappings?: ReadonlyArray<IdMap>
}

export type NamespaceType = "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup"

/** Without a path the runtime makes a new one; a type that is not listed is shared with the runtime. */
export interface Namespace {
  readonly type: NamespaceType
  readonly path?: string
}

export interface Device {
  readonly path: string
  readonly type: "c" | "b"
  readonly major: number
  readonly minor: number
  /** Permission bits. */
  readonly fileMode: number
  readonly uid: number
  readonly gid: number
}

/** Absent major, minor or type stand for all. */
export interface DeviceRule {
  readonly allow: boolean
  readonly type?: "c" | "b" | "a"
  readonly major?: number
  readonly minor?: number
  /** Of "r", "w", "m". */
  readonly access: string
}

export interface Resources {
  readonly devices?: ReadonlyArray<DeviceRule>
  readonly cpu?: {
    readonly shares?: Int64
    /** Microseconds. */
    readonly quota?: Int64
    /** Microseconds. */
    readonly period?: Int64
    readonly cpus?: string
    readonly mems?: string
  }
  /** Bytes; `swap` is memory plus swap. */
  readonly memory?: { readonly limit?: Int64; readonly swap?: Int64 }
  readonly pids?: { readonly limit: number }
  readonly hugepageLimits?: ReadonlyArray<{ readonly pageSize: string; readonly limit: Int64 }>
  /** cgroup v2 files by name. */
  readonly unified?: Readonly<Record<string, string>>
}

export type SeccompAction =
  | "SCMP_ACT_ALLOW"
  | "SCMP_ACT_ERRNO"
  | "SCMP_ACT_KILL"
  | "SCMP_ACT_KILL_PROCESS"
  | "SCMP_ACT_KILL_THREAD"
  | "SCMP_ACT_LOG"
  | "SCMP_ACT_NOTIFY"
  | "SCMP_ACT_TRACE"
  | "SCMP_ACT_TRAP"

export type SeccompOperator =
  | "SCMP_CMP_NE"
  | "SCMP_CMP_LT"
  | "SCMP_CMP_LE"
  | "SCMP_CMP_EQ"
  | "SCMP_CMP_GE"
  | "SCMP_CMP_GT"
  | "SCMP_CMP_MASKED_EQ"

export interface SeccompArgument {
  readonly index: number
  /** For SCMP_CMP_MASKED_EQ the mask; `valueTwo` is then the value. */
  readonly value: Int64
  readonly valueTwo?: Int64
  readonly op: SeccompOperator
}

export interface SeccompRule {
  readonly names: ReadonlyArray<string>
  readonly action: SeccompAction
  readonly errnoRet?: number
  /** All have to hold. */
  readonly args?: ReadonlyArray<SeccompArgument>
}

export interface Seccomp {
  readonly defaultAction: SeccompAction
  readonly defaultErrnoRet?: number
  readonly architectures?: ReadonlyArray<string>
  readonly flags?: ReadonlyArray<string>
  readonly syscalls: ReadonlyArray<SeccompRule>
}

/** config.md "POSIX-platform Hooks", in the order in which they run. */
export type HookStage = "prestart" | "createRuntime" | "createContainer" | "startContainer" | "poststart" | "poststop"

export interface Hook {
  /** On the host; in the container for startContainer. */
  readonly path: string
  /** With the program's own name first; none at all: the path alone. */
  readonly args?: ReadonlyArray<string>
  /** "NAME=value". */
  readonly env?: ReadonlyArray<string>
  /** Seconds. */
  readonly timeout?: number
}

export interface RuntimeSpec {
  readonly ociVersion: "1.0.2"
  readonly process: Process
  readonly root: { readonly path: string; readonly readonly: boolean }
  readonly hostname?: string
  readonly mounts: ReadonlyArray<Mount>
  readonly hooks?: Readonly<Partial<Record<HookStage, ReadonlyArray<Hook>>>>
  readonly annotations: Readonly<Record<string, string>>
  readonly linux: {
    readonly uidMappings?: ReadonlyArray<IdMap>
    readonly gidMappings?: ReadonlyArray<IdMap>
    readonly namespaces: ReadonlyArray<Namespace>
    readonly cgroupsPath: string
    readonly resources: Resources
    readonly devices: ReadonlyArray<Device>
    readonly seccomp?: Seccomp
    readonly rootfsPropagation?: "rslave" | "rshared"
    readonly maskedPaths: ReadonlyArray<string>
    readonly readonlyPaths: ReadonlyArray<string>
  }
}

// What ES2025 adds to JSON (both are in Node 24, neither in TypeScript's library): numbers written and read exactly.
const exactJson = JSON as unknown as {
  readonly rawJSON: (text: string) => unknown
  readonly parse: (
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown
  ) => unknown
}

const encodeJson = (value: unknown): string =>
  JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "bigint" ? exactJson.rawJSON(member.toString()) : member
  )

/** Text of config.json. */
export const encodeRuntimeSpec = (spec: RuntimeSpec): string => encodeJson(spec)
/** Text of a process file (`exec --process`). */
export const encodeProcess = (process: Process): string => encodeJson(process)
/** Text of a resources file (`update --resources`). */
export const encodeResources = (resources: Resources): string => encodeJson(resources)

/** Reads JSON as Go does: integers exactly (a bigint where a double would round), null members as absent. Throws SyntaxError. */
export const parseJson = (text: string): unknown =>
  exactJson.parse(text, (_key, value, { source }) => {
    if (value === null) return undefined
    return typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source)
      ? BigInt(source)
      : value
  })

const decodeConfig = Schema.decodeUnknownResult(Schema.Struct({ process: Process }))

/** The process of a config.json that `encodeRuntimeSpec` wrote. */
export const decodeProcess = (configJson: string): Result.Result<Process, Error> =>
  Result.try({ try: () => parseJson(configJson), catch: (error) => error as Error }).pipe(
    Result.flatMap((config) => decodeConfig(config)),
    Result.map(({ process }) => process)
  )
