/** Image references: the grammar of distribution/reference, and the normal form that Docker gave to short names. */
import { Result, Schema } from "effect"
import { parseDigest, type Digest } from "../model/Digest.ts"

/** A full reference: what it names never depends on configuration. */
export interface Reference {
  /** Host with optional port, as written: "docker.io", "localhost:5000", "[::1]:5000". */
  readonly domain: string
  /** Repository below the host: "library/busybox". */
  readonly path: string
  readonly tag?: string
  readonly digest?: Digest
}

export class InvalidReference extends Schema.TaggedError<InvalidReference>()("InvalidReference", {
  text: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `invalid image reference ${JSON.stringify(this.text.slice(0, 300))}: ${this.reason}`
  }
}

const maxNameLength = 255
/** Name, tag (128) and digest (71) with their separators. */
const maxReferenceLength = maxNameLength + 1 + 128 + 1 + 71

const label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
const domainPattern = new RegExp(String.raw`^(?:${label}(?:\.${label})*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$`)
const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
const pathPattern = new RegExp(`^${component}(?:/${component})*$`)
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/** "docker.io" has had other names; all of them are one registry. */
const dockerNames: ReadonlySet<string> = new Set(["docker.io", "index.docker.io"])

/** Whether the text before the first "/" is a host: it has a dot, a port or capitals, or is "localhost". */
const isDomain = (first: string): boolean =>
  first.includes(".") || first.includes(":") || first === "localhost" || first !== first.toLowerCase()

const splitDomain = (name: string): readonly [domain: string | undefined, path: string] => {
  const slash = name.indexOf("/")
  const first = name.slice(0, Math.max(slash, 0))
  return slash > 0 && isDomain(first) ? [first, name.slice(slash + 1)] : [undefined, name]
}

/** Takes "@digest" and ":tag" off the end of a name. */
const splitSuffixes = (text: string): { readonly name: string; readonly tag?: string; readonly digest?: string } => {
  const at = text.indexOf("@")
  const rest = at < 0 ? text : text.slice(0, at)
  const digest = at < 0 ? {} : { digest: text.slice(at + 1) }
  const colon = rest.lastIndexOf(":")
  return colon > rest.lastIndexOf("/")
    ? { name: rest.slice(0, colon), tag: rest.slice(colon + 1), ...digest }
    : { name: rest, ...digest }
}

/** True where the text names no registry: "busybox", "team/app:1". Which registry is meant is for registries.conf to say. */
export const isShortName = (text: string): boolean => splitDomain(splitSuffixes(text).name)[0] === undefined

const pathProblem = (path: string): string | undefined => {
  if (path === "") return "the repository is empty"
  if (path !== path.toLowerCase()) return "the repository must be in lower case"
  return pathPattern.test(path)
    ? undefined
    : `${JSON.stringify(path)} is not a repository: letters and digits, separated by one of ". _ __ - /"`
}

/** Reads a reference; a name without registry is one of docker.io. No tag is added. */
export const parseReference = (text: string): Result.Result<Reference, InvalidReference> => {
  const refuse = (reason: string) => Result.fail(new InvalidReference({ text, reason }))
  if (text === "") return refuse("it is empty")
  if (text.length > maxReferenceLength) return refuse(`it is longer than ${maxReferenceLength} characters`)
  if (/^[0-9a-f]{64}$/.test(text)) return refuse("64 hex digits are an image id, not a name")
  const { name, tag, digest: digestText } = splitSuffixes(text)
  const [written, rest] = splitDomain(name)
  const domain = written === undefined || dockerNames.has(written) ? "docker.io" : written
  if (!domainPattern.test(domain)) return refuse(`${JSON.stringify(domain)} is not a host name`)
  const problem = pathProblem(rest)
  if (problem !== undefined) return refuse(problem)
  const path = domain === "docker.io" && !rest.includes("/") ? `library/${rest}` : rest
  if (domain.length + 1 + path.length > maxNameLength) {
    return refuse(`its name is longer than ${maxNameLength} characters`)
  }
  if (tag !== undefined && !tagPattern.test(tag)) return refuse(`${JSON.stringify(tag)} is not a tag`)
  if (digestText === undefined) return Result.succeed({ domain, path, ...(tag === undefined ? {} : { tag }) })
  return Result.mapBoth(parseDigest(digestText), {
    onSuccess: (digest) => ({ domain, path, ...(tag === undefined ? {} : { tag }), digest }),
    onFailure: (error) => new InvalidReference({ text, reason: error.message })
  })
}

/** "docker.io/library/busybox". */
export const nameOf = (reference: Reference): string => `${reference.domain}/${reference.path}`

/** "docker.io/library/busybox:latest@sha256:…". */
export const formatReference = (reference: Reference): string =>
  nameOf(reference) +
  (reference.tag === undefined ? "" : `:${reference.tag}`) +
  (reference.digest === undefined ? "" : `@${reference.digest}`)

/** What is asked of a registry and remembered in the store: the digest where there is one, else the tag, else "latest". */
export const pinned = (reference: Reference): Reference => {
  const { domain, path, tag, digest } = reference
  return digest === undefined ? { domain, path, tag: tag ?? "latest" } : { domain, path, digest }
}
