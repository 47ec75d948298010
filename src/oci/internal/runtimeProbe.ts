/** What an OCI runtime is and can: by its `--version`, and by `features` or, for binaries without it, by version. */
import { Effect, Result, Schema } from "effect"
import { Processes } from "../../linux/Processes.ts"
import type { RuntimeFeatures, RuntimeKind } from "../RuntimeHandlers.ts"
import { systemPath } from "../../model/SystemPath.ts"

export interface Probe {
  readonly kind: RuntimeKind
  /** "1.8.1" */
  readonly version: string
  /** What the binary supports, whatever the kernel does. */
  readonly features: RuntimeFeatures
  /** By its own word; else by a table of versions. */
  readonly stated: boolean
}

/** runtime-spec features.md, the part that decides. */
const Features = Schema.Struct({
  mountOptions: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
  linux: Schema.optionalKey(
    Schema.Struct({
      namespaces: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
      mountExtensions: Schema.optionalKey(
        Schema.Struct({
          idmap: Schema.optionalKey(Schema.Struct({ enabled: Schema.optionalKey(Schema.NullOr(Schema.Boolean)) }))
        })
      )
    })
  )
})

const decodeFeatures = Schema.decodeUnknownResult(Schema.fromJsonString(Features))

/** What `features` says; undefined for what it leaves open. */
export interface StatedFeatures {
  readonly recursiveReadOnlyMounts: boolean
  readonly userNamespaces: boolean | undefined
}

/** undefined for anything but the answer of `features`. */
export const parseFeatures = (json: string): StatedFeatures | undefined =>
  Result.match(decodeFeatures(json), {
    onFailure: () => undefined,
    onSuccess: ({ mountOptions, linux }) => {
      const namespaces = linux?.namespaces?.includes("user") ?? false
      // Older than the member: runtimes had idmapped mounts before they could say so.
      const idmap = linux?.mountExtensions?.idmap?.enabled ?? undefined
      return {
        recursiveReadOnlyMounts: mountOptions?.includes("rro") ?? false,
        userNamespaces: namespaces && idmap === undefined ? undefined : namespaces && idmap === true
      }
    }
  })

/** "crun version 1.8.1\ncommit: …", "runc version 1.1.5+ds1" */
export const parseVersion = (text: string): { readonly kind: RuntimeKind; readonly version: string } | undefined => {
  const match = /^(\S+) version v?(\d+(?:\.\d+)*)/m.exec(text)
  if (match === null) return undefined
  const [, name, version = ""] = match
  return { kind: name === "crun" || name === "runc" ? name : "other", version }
}

/** Negative, 0 or positive as `left` is older than, the same as or newer than `right`. */
export const compareVersions = (left: string, right: string): number => {
  const numbers = (text: string) => text.split(".").map(Number)
  const [one, other] = [numbers(left), numbers(right)]
  for (let index = 0; index < Math.max(one.length, other.length); index++) {
    const difference = (one[index] ?? 0) - (other[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** First releases that have it. */
const since: Readonly<Record<keyof RuntimeFeatures, Partial<Record<RuntimeKind, string>>>> = {
  recursiveReadOnlyMounts: { crun: "1.4", runc: "1.1" },
  userNamespaces: { crun: "1.4", runc: "1.2" }
}

const isSince = (first: string | undefined, version: string): boolean =>
  first !== undefined && compareVersions(version, first) >= 0

/** For binaries without `features` (crun before 1.8.6, runc before 1.1), and for what it does not say. */
export const featuresByVersion = (kind: RuntimeKind, version: string): RuntimeFeatures => ({
  recursiveReadOnlyMounts: isSince(since.recursiveReadOnlyMounts[kind], version),
  userNamespaces: isSince(since.userNamespaces[kind], version)
})

/** The oldest that Cricket's tests run with, to the minor release. */
const oldestTested: Partial<Record<RuntimeKind, string>> = { crun: "1.8", runc: "1.1" }

/** What is said of a runtime that no test of Cricket has seen; undefined for those that it is made for. */
export const untestedBecause = (kind: RuntimeKind, version: string): string | undefined => {
  const oldest = oldestTested[kind]
  if (oldest === undefined)
    return "is neither crun nor runc, with which Cricket is tested: check that pods start and stop"
  return compareVersions(version, oldest) < 0
    ? `is older than ${oldest}, the oldest ${kind} with which Cricket is tested: update it`
    : undefined
}

const advisories: ReadonlyArray<{
  readonly kind: RuntimeKind
  /** First releases with the fix: of each line that still gets any, oldest first. */
  readonly fixed: ReadonlyArray<string>
  readonly id: string
}> = [
  { kind: "runc", fixed: ["1.1.12"], id: "CVE-2024-21626" },
  { kind: "runc", fixed: ["1.2.8", "1.3.3"], id: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881" }
]

const isFixed = (version: string, fixed: ReadonlyArray<string>): boolean => {
  const line = (text: string) => text.split(".").slice(0, 2).join(".")
  const own = fixed.find((release) => line(release) === line(version))
  if (own !== undefined) return compareVersions(version, own) >= 0
  return compareVersions(version, fixed.at(-1) ?? version) > 0
}

/** Container escapes that upstream's release of this version is open to; a distribution may have fixed them in place. */
export const openAdvisories = (kind: RuntimeKind, version: string): ReadonlyArray<string> =>
  advisories
    .filter((advisory) => advisory.kind === kind && !isFixed(version, advisory.fixed))
    .map(({ id, fixed }) => `${id} (fixed in ${fixed.join(" and ")})`)

/** They answer in milliseconds; one that hangs must not keep the node from its pods. */
const answerLimit = "10 seconds"

const firstLine = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8").trim().split("\n", 1)[0] ?? ""

/** What it prints, or what happened instead. */
const run = Effect.fnUntraced(
  function* (path: string, argument: string) {
    const processes = yield* Processes
    const { code, signal, stdout, stderr } = yield* processes.run({ path, args: [argument], env: { PATH: systemPath } })
    if (code === 0) return Result.succeed(Buffer.from(stdout).toString("utf8"))
    const said = firstLine(stderr)
    const end = code === null ? `signal ${signal}` : `exit code ${code}`
    return Result.fail(`${path} ${argument} ended with ${end}${said === "" ? "" : `: ${said}`}`)
  },
  (running, path, argument) =>
    Effect.timeoutOrElse(running, {
      duration: answerLimit,
      orElse: () => Effect.succeed(Result.fail(`${path} ${argument} has not answered in ${answerLimit}`))
    }),
  Effect.catch(({ message }) => Effect.succeed(Result.fail(message)))
)

/** Or why it is none that can be used. */
export const probeRuntime = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Result.Result<Probe, string>, never, Processes> {
  const [version, answered] = yield* Effect.all([run(path, "--version"), run(path, "features")], { concurrency: 2 })
  if (Result.isFailure(version)) return Result.fail(version.failure)
  const identity = parseVersion(version.success)
  if (identity === undefined) return Result.fail(`${path} --version does not answer as an OCI runtime does`)
  const known = featuresByVersion(identity.kind, identity.version)
  const stated = Result.isFailure(answered) ? undefined : parseFeatures(answered.success)
  const features = { ...known, ...stated, userNamespaces: stated?.userNamespaces ?? known.userNamespaces }
  return Result.succeed({ ...identity, features, stated: stated !== undefined })
})
