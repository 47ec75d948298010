/** The JSON documents of an image come from strangers: size, encoding and shape are checked before anything reads them. */
import { Result, Schema } from "effect"

/** Bytes. What containers/image and containerd accept as well. */
export const maxDocumentBytes = 4 * 1024 * 1024

/** A manifest, index or configuration that is refused. The owner of the bytes adds which image they belong to. */
export class MalformedDocument extends Schema.TaggedError<MalformedDocument>()("MalformedDocument", {
  document: Schema.Literals(["image configuration", "image manifest", "image index", "OCI layout"]),
  reason: Schema.String
}) {
  override get message(): string {
    return `malformed ${this.document}: ${this.reason}`
  }
}

type DocumentKind = MalformedDocument["document"]

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The document's text as a JSON object. */
export const readObject = (
  document: DocumentKind,
  bytes: Uint8Array
): Result.Result<Readonly<Record<string, unknown>>, MalformedDocument> => {
  const refuse = (reason: string) => Result.fail(new MalformedDocument({ document, reason }))
  if (bytes.length > maxDocumentBytes) {
    return refuse(`it has ${bytes.length} bytes, at most ${maxDocumentBytes} are accepted`)
  }
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes))
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? Result.succeed(value as Readonly<Record<string, unknown>>)
      : refuse("it is not a JSON object")
  } catch (cause) {
    return refuse(cause instanceof SyntaxError ? "it is not JSON" : "it is not UTF-8 text")
  }
}

/** Decodes as Go's encoding/json would: null stands for a missing field, slice or map; unknown fields are ignored. */
export const decoderOf = <S extends Schema.Constraint & { readonly DecodingServices: never }>(
  document: DocumentKind,
  schema: S
) => {
  const decode = Schema.decodeUnknownResult(Schema.toCodecGoJson(schema))
  return (value: unknown): Result.Result<S["Type"], MalformedDocument> =>
    Result.mapError(
      decode(value),
      (error) => new MalformedDocument({ document, reason: error.message.replace(/\s*\n\s*/g, " ").slice(0, 500) })
    )
}
