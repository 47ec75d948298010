/** Who we are for a registry: from the request, else from the node's auth files (containers-auth.json(5)). */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { Effect, Redacted, Result } from "effect"
import type { AuthConfig } from "../gen/runtime/v1/api.ts"
import { Files } from "../linux/Files.ts"
import { isGone } from "../linux/LinuxError.ts"
import { PullSettings } from "./PullSettings.ts"
import { nameOf, type Reference } from "./Reference.ts"

export type Credentials =
  | { readonly _tag: "Basic"; readonly username: string; readonly password: Redacted.Redacted }
  /** An OAuth2 refresh token, exchanged at the registry's token server. */
  | { readonly _tag: "IdentityToken"; readonly token: Redacted.Redacted }
  /** Sent to the registry as it is. */
  | { readonly _tag: "RegistryToken"; readonly token: Redacted.Redacted }

/** One registry, many spellings: "https://index.docker.io/v1/" and "docker.io". */
const normalHost = (key: string): string => {
  const host = key.replace(/^https?:\/\//, "").split("/", 1)[0] ?? ""
  return host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host
}

const decodeAuth = (auth: string): Credentials | undefined => {
  const text = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "")
  const colon = text.indexOf(":")
  if (colon <= 0) return undefined
  return { _tag: "Basic", username: text.slice(0, colon), password: Redacted.make(text.slice(colon + 1)) }
}

/**
 * The credentials of a PullImage request. They are for the registry of the reference that was asked for, no other host:
 * kubelet looks up those of docker.io for a short name, so they do not go to the registry that an alias leads to.
 */
export const fromAuthConfig = (
  auth: AuthConfig | undefined,
  reference: Reference,
  shortName: boolean
): Credentials | undefined => {
  if (auth === undefined) return undefined
  const meant = auth.serverAddress === "" ? (shortName ? "docker.io" : reference.domain) : auth.serverAddress
  if (normalHost(meant) !== normalHost(reference.domain)) return undefined
  const decoded = auth.auth === "" ? undefined : decodeAuth(auth.auth)
  if (decoded !== undefined) return decoded
  if (auth.username !== "") {
    return { _tag: "Basic", username: auth.username, password: Redacted.make(auth.password) }
  }
  if (auth.identityToken !== "") return { _tag: "IdentityToken", token: Redacted.make(auth.identityToken) }
  if (auth.registryToken !== "") return { _tag: "RegistryToken", token: Redacted.make(auth.registryToken) }
  return undefined
}

/** Whether a request means to say who we are and does not: an `auth` that cannot be read, and nothing else. */
export const isUnreadable = ({ auth, username, identityToken, registryToken }: AuthConfig): boolean =>
  auth !== "" && decodeAuth(auth) === undefined && username === "" && identityToken === "" && registryToken === ""

/** Tells pulls with different credentials apart without keeping the credentials. */
export const fingerprint = (credentials: Credentials | undefined): string => {
  if (credentials === undefined) return "anonymous"
  const secret = credentials._tag === "Basic" ? credentials.password : credentials.token
  const user = credentials._tag === "Basic" ? credentials.username : ""
  return createHash("sha256")
    .update(JSON.stringify([credentials._tag, user, Redacted.value(secret)]))
    .digest("hex")
}

const member = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined

const entryCredentials = (entry: unknown): Credentials | undefined => {
  const token = member(entry, "identitytoken")
  if (typeof token === "string" && token !== "") return { _tag: "IdentityToken", token: Redacted.make(token) }
  const auth = member(entry, "auth")
  return typeof auth === "string" && auth !== "" ? decodeAuth(auth) : undefined
}

/** "host/a/b", "host/a", "host". */
const keysOf = (reference: Reference): ReadonlyArray<string> => {
  const parts = nameOf(reference).split("/")
  return parts.map((_, index) => parts.slice(0, parts.length - index).join("/"))
}

/** The most specific entry for a repository in an auth file, or why the file cannot be read. */
export const fromAuthFile = (content: string, reference: Reference): Result.Result<Credentials | undefined, string> => {
  let file: unknown
  try {
    file = JSON.parse(content)
  } catch {
    return Result.fail("it is not JSON")
  }
  const auths = member(file, "auths")
  if (typeof auths !== "object" || auths === null) return Result.succeed(undefined)
  for (const key of keysOf(reference)) {
    const credentials = entryCredentials(member(auths, key))
    if (credentials !== undefined) return Result.succeed(credentials)
  }
  // Keys as docker login writes them: a URL, or one of Docker Hub's other names.
  for (const [key, entry] of Object.entries(auths)) {
    const repository = key.includes("/") && !/^https?:\/\//.test(key)
    const credentials = !repository && normalHost(key) === reference.domain ? entryCredentials(entry) : undefined
    if (credentials !== undefined) return Result.succeed(credentials)
  }
  return Result.succeed(undefined)
}

/** From the node's files: the first that knows the repository. A file that cannot be used counts as absent, and is logged. */
export const fromNode = Effect.fn("Credentials.fromNode")(function* (reference: Reference) {
  const files = yield* Files
  const settings = yield* PullSettings
  for (const path of settings.authFiles) {
    const credentials = yield* files.readText(path, { maxBytes: 4 * 1024 * 1024 }).pipe(
      Effect.mapError((error) => (isGone(error) ? undefined : error.code)),
      Effect.flatMap((content) => Effect.fromResult(fromAuthFile(content, reference))),
      Effect.catch((reason) =>
        reason === undefined ? Effect.void : Effect.logWarning(`registry credentials ${path} are left out: ${reason}`)
      )
    )
    if (credentials !== undefined) return credentials
  }
  return undefined
})
