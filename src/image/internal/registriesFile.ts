/** One registries.conf or drop-in (containers-registries.conf(5), version 2) as data, and how files lie over each other. */
import { parse } from "@decimalturn/toml-patch"
import { Effect, Result, Schema } from "effect"
import { messageOf } from "../../linux/messageOf.ts"

const flag = Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false)))
const text = Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("")))

const Mirror = Schema.Struct({
  location: Schema.NonEmptyString,
  insecure: flag,
  "pull-from-mirror": Schema.Literals(["all", "digest-only", "tag-only"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("all" as const))
  )
})
export type Mirror = typeof Mirror.Type

const Registry = Schema.Struct({
  prefix: text,
  location: text,
  insecure: flag,
  blocked: flag,
  "mirror-by-digest-only": flag,
  mirror: Schema.Array(Mirror).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))
})
export type Registry = typeof Registry.Type

const File = Schema.Struct({
  "unqualified-search-registries": Schema.optionalKey(Schema.Array(Schema.String)),
  registry: Schema.Array(Registry).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  aliases: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
})
export type RegistriesFile = typeof File.Type

const decode = Schema.decodeUnknownResult(File)

const withoutSlash = (location: string): string => location.replace(/\/+$/, "")

/** A `[[registry]]` with its prefix filled in and its rules checked, or what is wrong with it. */
const checkRegistry = (registry: Registry): Result.Result<Registry, string> => {
  const prefix = withoutSlash(registry.prefix === "" ? registry.location : registry.prefix)
  const location = withoutSlash(registry.location)
  const name = `[[registry]] ${JSON.stringify(prefix)}`
  if (prefix === "") return Result.fail("a [[registry]] needs a prefix or a location")
  if (/^[a-z]+:\/\//i.test(prefix) || /^[a-z]+:\/\//i.test(location)) {
    return Result.fail(`${name}: give the host without "https://"`)
  }
  if (prefix.startsWith("*.") && /[/:@]/.test(prefix)) {
    return Result.fail(`${name}: a wildcard stands for host names only, without port or path`)
  }
  if (!prefix.startsWith("*.") && prefix.includes("*")) {
    return Result.fail(`${name}: a wildcard is written "*.example.com"`)
  }
  if (location === "" && !prefix.startsWith("*.") && registry.mirror.length === 0 && !registry.blocked) {
    return Result.fail(`${name}: location is missing`)
  }
  if (registry["mirror-by-digest-only"] && registry.mirror.some((mirror) => mirror["pull-from-mirror"] !== "all")) {
    return Result.fail(`${name}: mirror-by-digest-only and pull-from-mirror exclude each other`)
  }
  return Result.succeed({
    ...registry,
    prefix,
    location: location === "" && !prefix.startsWith("*.") ? prefix : location,
    mirror: registry.mirror.map((mirror) => ({ ...mirror, location: withoutSlash(mirror.location) }))
  })
}

const isTable = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value)

/** Reads one file; the failure is a text for people. */
export const parseRegistriesFile = (content: string): Result.Result<RegistriesFile, string> =>
  Result.gen(function* () {
    const value: unknown = yield* Result.try({
      try: () => parse(content),
      catch: messageOf
    })
    const registries = (value as { readonly registries?: unknown }).registries
    if (isTable(registries)) {
      return yield* Result.fail(
        "[registries.search], [registries.insecure] and [registries.block] are format version 1; write unqualified-search-registries and [[registry]] tables instead"
      )
    }
    const file = yield* Result.mapError(decode(value), (error) => error.message.replace(/\s*\n\s*/g, " "))
    const registry: Array<Registry> = []
    for (const entry of file.registry) {
      const checked = yield* checkRegistry(entry)
      const same = registry.find((other) => other.location === checked.location && checked.location !== "")
      if (same !== undefined && same.insecure !== checked.insecure) {
        return yield* Result.fail(
          `location ${JSON.stringify(checked.location)} is insecure in one place and not in another`
        )
      }
      // In one file the first of a prefix wins; between files the last.
      if (!registry.some((other) => other.prefix === checked.prefix)) registry.push(checked)
    }
    return { ...file, registry }
  })

export const emptyRegistries: RegistriesFile = { registry: [], aliases: {} }

/** Lays a drop-in over what was read before. */
export const mergeRegistries = (base: RegistriesFile, dropIn: RegistriesFile): RegistriesFile => ({
  ...base,
  ...dropIn,
  registry: [
    ...base.registry.filter((registry) => !dropIn.registry.some(({ prefix }) => prefix === registry.prefix)),
    ...dropIn.registry
  ],
  aliases: { ...base.aliases, ...dropIn.aliases }
})
