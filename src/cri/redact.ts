/**
 * What must never reach a log or a client: registry credentials, environment values, the userinfo and query of URLs,
 * and streaming URLs (whose token is the only authentication). The logger sends every text through `redactText`, the
 * adapter every message through `redactMessage`; nothing else has to remember.
 */

const hidden = "[redacted]"

/** AuthConfig's fields with `debug_redact`, the url of Exec, Attach and PortForward; strings under these names vanish. */
export const secretFields: ReadonlySet<string> = new Set(["password", "auth", "identityToken", "registryToken", "url"])

// Userinfo runs to the last @ before the path: a password may hold an @ of its own.
const userinfo = /([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/gi
const query = /([a-z][a-z0-9+.-]*:\/\/[^\s?#"'<>]*)\?[^\s#"'<>]*/gi

/** Takes userinfo and query out of every URL in a text. */
export const redactText = (text: string): string =>
  text.includes("://") ? text.replace(userinfo, `$1${hidden}@`).replace(query, `$1?${hidden}`) : text

const redactField = (name: string, value: unknown): unknown => {
  if (typeof value === "string" && value !== "" && secretFields.has(name)) return hidden
  // KeyValue of ContainerConfig.envs: the key may be shown, the value not.
  if (name === "envs" && Array.isArray(value)) return value.map(({ key }) => `${key}=${hidden}`)
  return redactMessage(value)
}

/** A copy of a protobuf message that may be logged: JSON-safe (int64 as text), bytes by their length only. */
export const redactMessage = (value: unknown): unknown => {
  if (typeof value === "string") return redactText(value)
  if (typeof value === "bigint") return value.toString()
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (Array.isArray(value)) return value.map(redactMessage)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, redactField(name, field)]))
}
