/** Answers of two targets, made equal where they may differ: ids, times, addresses, digests, paths. */

/** Nanoseconds since the epoch, in years that somebody may run this. */
const isTime = (value: bigint): boolean => value > 1_000_000_000_000_000_000n

const hex = /^(?:sha256:)?[0-9a-f]{64}$/
const address = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:]+)$/

const longest = 200

const text = (value: string, names: ReadonlyMap<string, string>): string => {
  const name = names.get(value)
  if (name !== undefined) return name
  if (hex.test(value)) return "<id>"
  if (address.test(value)) return "<address>"
  if (/^https?:\/\//.test(value)) return "<url>"
  if (value.startsWith("/")) return "<path>"
  if (value.length > longest) return `${value.slice(0, longest)}… (${value.length} characters)`
  return value.includes("@sha256:") ? "<digest>" : value
}

/** JSON that is equal for answers that mean the same. `names` has the objects' names by their ids. */
export const normalise = (value: unknown, names: ReadonlyMap<string, string>): unknown => {
  if (typeof value === "bigint") return isTime(value) ? "<time>" : value.toString()
  if (typeof value === "string") return text(value, names)
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return text(Buffer.from(value).toString("latin1"), names)
  if (Array.isArray(value)) return value.map((item) => normalise(item, names))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([one], [other]) => one.localeCompare(other))
      .map(([key, item]) => [key, normalise(item, names)])
  )
}
