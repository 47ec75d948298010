/** Content digests as the OCI image specification writes them ("Descriptor", section Digests). */
import { createHash } from "node:crypto"
import { Result, Schema } from "effect"

const pattern = /^sha256:[0-9a-f]{64}$/

/** "sha256:" and 64 lower-case hex digits. No other algorithm: what is not verified by every tool of the store is refused. */
export const Digest = Schema.String.pipe(
  Schema.check(Schema.isPattern(pattern, { message: "expected a digest: sha256: and 64 lower-case hex digits" })),
  Schema.brand("Digest")
)
export type Digest = typeof Digest.Type

export class InvalidDigest extends Schema.TaggedError<InvalidDigest>()("InvalidDigest", {
  text: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `invalid digest ${JSON.stringify(this.text.slice(0, 200))}: ${this.reason}`
  }
}

export const isDigest = (text: string): text is Digest => pattern.test(text)

const reasonOf = (text: string): string => {
  const colon = text.indexOf(":")
  if (colon <= 0) return `expected "algorithm:hex"`
  const algorithm = text.slice(0, colon)
  if (algorithm !== "sha256") return `the algorithm ${JSON.stringify(algorithm)} is not supported, only sha256 is`
  const hex = text.slice(colon + 1)
  return hex.length === 64
    ? "the digits after sha256: must be lower-case hex"
    : `expected 64 hex digits after sha256:, found ${hex.length} characters`
}

export const parseDigest = (text: string): Result.Result<Digest, InvalidDigest> =>
  isDigest(text) ? Result.succeed(text) : Result.fail(new InvalidDigest({ text, reason: reasonOf(text) }))

/** The 64 hex digits. */
export const hexOf = (digest: Digest): string => digest.slice("sha256:".length)

/** Of bytes already in memory: manifests and configurations. Layers are hashed while they stream. */
export const digestOf = (bytes: Uint8Array): Digest =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest
