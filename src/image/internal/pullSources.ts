/** Which registries are asked for a reference, in which order (containers-registries.conf(5), "NAMESPACED"). */
import { Result } from "effect"
import { formatReference, InvalidReference, isShortName, nameOf, parseReference, type Reference } from "../Reference.ts"
import type { RegistriesFile, Registry } from "./registriesFile.ts"

/** One registry to ask, and the name that the image has there. */
export interface PullSource {
  readonly reference: Reference
  /** Certificates are not verified, and plain http is tried where https fails. */
  readonly insecure: boolean
}

const boundary = (text: string, index: number): boolean =>
  index === text.length || text[index] === "/" || text[index] === ":" || text[index] === "@"

/** How many characters of the name the prefix covers; undefined where it does not match. */
const matchLength = (name: string, prefix: string): number | undefined => {
  if (!prefix.startsWith("*."))
    return name.startsWith(prefix) && boundary(name, prefix.length) ? prefix.length : undefined
  const suffix = prefix.slice(1)
  const start = name.indexOf(suffix)
  if (start <= 0 || name.slice(0, start).includes("/")) return undefined
  const end = start + suffix.length
  return boundary(name, end) ? end : undefined
}

/** The table with the longest match; of two wildcards that cover the same host, the more specific one. */
const findRegistry = (
  file: RegistriesFile,
  name: string
): { readonly registry: Registry; readonly length: number } | undefined => {
  let found: { readonly registry: Registry; readonly length: number } | undefined
  for (const registry of file.registry) {
    const length = matchLength(name, registry.prefix)
    if (length === undefined) continue
    const longer = length - (found?.length ?? 0)
    const finer = registry.prefix.length - (found?.registry.prefix.length ?? 0)
    if (longer > 0 || (longer === 0 && finer > 0)) found = { registry, length }
  }
  return found
}

const rewritten = (
  reference: Reference,
  length: number,
  location: string
): Result.Result<Reference, InvalidReference> => {
  if (location === "") return Result.succeed(reference)
  const text = location + formatReference(reference).slice(length)
  return isShortName(text)
    ? Result.fail(
        new InvalidReference({ text, reason: "the location in registries.conf has no host name with a dot or a port" })
      )
    : parseReference(text)
}

/** Mirrors first, then the registry itself. Empty where the registry is blocked. */
export const pullSources = (
  file: RegistriesFile,
  reference: Reference
): Result.Result<ReadonlyArray<PullSource>, InvalidReference> =>
  Result.gen(function* () {
    const found = findRegistry(file, nameOf(reference))
    if (found === undefined) return [{ reference, insecure: false }]
    const { registry, length } = found
    if (registry.blocked) return []
    const byDigest = reference.digest !== undefined
    const sources: Array<PullSource> = []
    for (const mirror of registry.mirror) {
      const skipped = byDigest
        ? mirror["pull-from-mirror"] === "tag-only"
        : registry["mirror-by-digest-only"] || mirror["pull-from-mirror"] === "digest-only"
      if (skipped) continue
      sources.push({ reference: yield* rewritten(reference, length, mirror.location), insecure: mirror.insecure })
    }
    sources.push({ reference: yield* rewritten(reference, length, registry.location), insecure: registry.insecure })
    return sources
  })

/**
 * Full references that a text can mean, most likely first: an alias alone, else one per search registry, else docker.io
 * where registries.conf names none.
 */
export const candidates = (
  file: RegistriesFile,
  text: string
): Result.Result<ReadonlyArray<Reference>, InvalidReference> => {
  if (!isShortName(text)) return Result.map(parseReference(text), (reference) => [reference])
  const suffixAt = /[:@]/.exec(text)?.index ?? text.length
  const alias = Object.hasOwn(file.aliases, text.slice(0, suffixAt)) ? file.aliases[text.slice(0, suffixAt)] : undefined
  if (alias !== undefined && alias !== "") {
    return Result.map(parseReference(alias + text.slice(suffixAt)), (reference) => [reference])
  }
  const registries = file["unqualified-search-registries"] ?? []
  if (registries.length === 0) return Result.map(parseReference(text), (reference) => [reference])
  return Result.all(registries.map((registry) => parseReference(`${registry}/${text}`)))
}
