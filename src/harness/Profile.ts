/** What the harness has to know of a target: where it listens, how it is started, what is its own on the host. */
import { Effect, Result, Schema } from "effect"
import { InvalidInput } from "./HarnessError.ts"
import { builtInProfiles } from "./profiles.ts"
import { isRule } from "./Rules.ts"

/** Each is compared by the rule `host.<kind>`. */
export const hostKinds = [
  "mounts",
  "namespaces",
  "links",
  "firewall",
  "ports",
  "cgroups",
  "processes",
  "files",
  "descriptors",
  "memory"
] as const
export type HostKind = (typeof hostKinds)[number]

const Text = Schema.NonEmptyString
const withDefault = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
const List = (initial: ReadonlyArray<string> = []) =>
  Schema.Array(Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.sync(() => initial)))
const Command = Schema.NonEmptyArray(Text)

/** What may have happened in a scenario: the daemon was ended in whatever way, it was killed, a client gave a request up. */
export const Circumstance = Schema.Literals(["end", "kill", "cancel"])
export type Circumstance = typeof Circumstance.Type

/** A deviation from a rule that is known: it is counted and named in the report, and does not fail the run. */
export const KnownDeviation = Schema.Struct({
  rule: Schema.String,
  /** A regular expression on the violation's text; every violation of the rule unless given. */
  matching: Schema.optionalKey(Text),
  /** Known only in a scenario in which this has happened before. */
  after: Schema.optionalKey(Circumstance),
  /** Why it is so; an issue's address serves well. */
  reason: Text
})
export type KnownDeviation = typeof KnownDeviation.Type

export const Profile = Schema.Struct({
  name: Text,
  /** `unix://` and a path. */
  endpoint: Text,
  imageEndpoint: Schema.optionalKey(Text),
  /**
   * "private": the harness makes mount, network, IPC and PID namespaces and starts the target in them. "host": the target
   * is where the harness is.
   */
  namespaces: withDefault(Schema.Literals(["private", "host"]), "host"),
  /** Directories that get a file system of their own in private namespaces. */
  privateDirectories: List(["/run/netns", "/run/ipcns", "/run/utsns", "/run/userns", "/var/lib/cni"]),
  /** Shell commands in the private namespaces, before anything else. */
  setup: withDefault(Schema.String, ""),
  /** Files to write first, by path. */
  files: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Programs beside the target, such as a registry on loopback. */
  services: Schema.Array(Command).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  /** Without it the target is left as it is found, and no scenario kills it. */
  start: Schema.optionalKey(Command),
  environment: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Shell commands once the target is ready for the first time. */
  afterStart: withDefault(Schema.String, ""),
  /** Of a target that runs already: the file with its pid. Without it nothing of its processes is compared. */
  pidFile: Schema.optionalKey(Text),
  /** Files and directories that are the target's own: what is below them, and what is mounted there, is compared. */
  paths: List(),
  /**
   * Regular expressions on paths that may come and stay. One that matches the path with a slash at its end ("/x(/|$)")
   * leaves out all that is below it too.
   */
  lasting: List(),
  /** The same for places where something is mounted. */
  lastingMounts: List(),
  /** Regular expressions on where descriptors of the daemon lead (/proc/PID/fd) that it may keep for a while. */
  keptDescriptors: List(),
  /** A regular expression on names of links that are the target's, where it shares the host's network. */
  links: withDefault(Schema.String, "^(veth|cni)"),
  /** Kinds of things on the host that are compared. */
  compared: Schema.Array(Schema.Literals(hostKinds)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(hostKinds))),
  /** Pods' cgroups are made below it. */
  cgroupParent: withDefault(Schema.String, "/cricket-harness"),
  logDirectory: withDefault(Schema.String, "/var/log/pods"),
  /** The process that watches over a container or a pod; without it none is killed. */
  monitor: Schema.optionalKey(Schema.Struct({ program: Text, scope: Schema.Literals(["container", "pod"]) })),
  images: Schema.Struct({
    /** Has a shell and coreutils under /bin. */
    main: Text,
    /** One that no container uses, to pull and remove. */
    spare: Schema.optionalKey(Text)
  }),
  /** Runtime handlers that pods ask for; "" is the default one. */
  handlers: List([""]),
  /** What the target and its host can do beyond the plain: "hostPorts", "sharedPid". */
  capabilities: List(),
  known: Schema.Array(KnownDeviation).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  limits: Schema.Struct({
    /** Seconds for an answer. */
    rpc: withDefault(Schema.Finite, 30),
    /** Seconds from the start of the process to Ready. */
    start: withDefault(Schema.Finite, 60),
    /** Seconds in which what happens by itself has to have happened. */
    settle: withDefault(Schema.Finite, 10),
    /** Descriptors of the daemon above what it had after the first pod. */
    descriptors: withDefault(Schema.Finite, 24),
    /** MiB of resident memory above what it had after the first pod. */
    memory: withDefault(Schema.Finite, 200)
  }).pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
})
export type Profile = typeof Profile.Type

const decode = Schema.decodeUnknownResult(Profile)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isPattern = (text: string): boolean =>
  Result.isSuccess(Result.try({ try: () => new RegExp(text), catch: () => undefined }))

const problemsOf = (profile: Profile): ReadonlyArray<string> => [
  ...profile.known.filter(({ rule }) => !isRule(rule)).map(({ rule }) => `known: there is no rule ${rule}`),
  ...[
    ...profile.lasting,
    ...profile.lastingMounts,
    ...profile.keptDescriptors,
    profile.links,
    ...profile.known.flatMap(({ matching }) => matching ?? [])
  ]
    .filter((pattern) => !isPattern(pattern))
    .map((pattern) => `${JSON.stringify(pattern)} is no regular expression`),
  ...[profile.endpoint, profile.imageEndpoint ?? profile.endpoint]
    .filter((endpoint) => !endpoint.startsWith("unix:///") && !endpoint.startsWith("unix://${dir}/"))
    .map((endpoint) => `endpoint ${endpoint} does not begin with unix:///`),
  ...(profile.namespaces === "private" && profile.start === undefined
    ? ['namespaces is "private", but there is no start: nothing would run in them']
    : [])
]

/** A profile from its JSON; `extends` names a built-in one of which it replaces whole fields, and adds to what is `known`. */
export const decodeProfile = (source: string, json: unknown): Result.Result<Profile, InvalidInput> => {
  const invalid = (...problems: ReadonlyArray<string>) => Result.fail(new InvalidInput({ source, problems }))
  if (!isRecord(json)) return invalid("a profile is a JSON object")
  const { extends: base, ...own } = json
  if (base !== undefined && (typeof base !== "string" || !(base in builtInProfiles))) {
    return invalid(`extends: expected one of ${Object.keys(builtInProfiles).join(", ")}`)
  }
  const inherited = base === undefined ? {} : builtInProfiles[base]
  const known = [inherited?.["known"], own["known"]].flatMap((list) => list ?? [])
  const decoded = decode({ ...inherited, ...own, known }, { errors: "all", onExcessProperty: "error" })
  if (Result.isFailure(decoded)) return invalid(...decoded.failure.message.split("\n"))
  const problems = problemsOf(decoded.success)
  return problems.length === 0 ? Result.succeed(decoded.success) : invalid(...problems)
}

/** The profile with `${dir}` in every text replaced by the directory that the harness made for this target. */
export const inDirectory = (profile: Profile, directory: string): Profile => {
  const replaced = (value: unknown): unknown => {
    if (typeof value === "string") return value.replaceAll("${dir}", directory)
    if (Array.isArray(value)) return value.map(replaced)
    if (!isRecord(value)) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [replaced(key), replaced(item)]))
  }
  return replaced(profile) as Profile
}
