/** Image manifests and indexes (OCI image-spec manifest.md, image-index.md; Docker manifest version 2 schema 2, lists). */
import { Effect, Result, Schema } from "effect"
import { Digest } from "./Digest.ts"
import { decoderOf, MalformedDocument, readObject } from "./ImageDocument.ts"
import {
  isImageConfigType,
  isIndexType,
  isLayerType,
  isManifestType,
  isSchema1Type,
  ociIndex,
  ociManifest
} from "./MediaType.ts"
import { Platform } from "./Platform.ts"

/** containers/storage refuses deeper images. */
export const maxLayers = 500

/** Points at content. The specification's `urls` and `data` are left out on purpose: content comes from the registry asked. */
export const Descriptor = Schema.Struct({
  mediaType: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed(""))),
  digest: Digest,
  /** Bytes. */
  size: Schema.Natural,
  platform: Schema.optionalKey(Platform),
  annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})
export type Descriptor = typeof Descriptor.Type

export const Manifest = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  mediaType: Schema.String,
  artifactType: Schema.optionalKey(Schema.String),
  config: Descriptor,
  /** Base first. */
  layers: Schema.Array(Descriptor)
})
export type Manifest = typeof Manifest.Type

export const Index = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  mediaType: Schema.String,
  manifests: Schema.Array(Descriptor)
})
export type Index = typeof Index.Type

export type ImageDocument =
  | { readonly _tag: "Manifest"; readonly manifest: Manifest }
  | { readonly _tag: "Index"; readonly index: Index }

const decodeManifest = decoderOf("image manifest", Manifest)
const decodeIndex = decoderOf("image index", Index)

const refuse = (document: "image manifest" | "image index", reason: string) =>
  Result.fail(new MalformedDocument({ document, reason }))

const has = (value: Readonly<Record<string, unknown>>, field: string): boolean =>
  Object.hasOwn(value, field) && value[field] !== null

/** Fields of the other kind in one document would let two tools see two images under one digest (GHSA-77vh-xpmg-72qh). */
const manifestFields = ["config", "layers"]
const indexFields = ["manifests"]
const schema1Fields = ["fsLayers", "signatures"]

/**
 * The media type that the document, its response header and its descriptor agree on. `declared` are those of the outside:
 * generic ones ("application/json", "text/plain") say nothing.
 */
const agreedType = (
  value: Readonly<Record<string, unknown>>,
  declared: ReadonlyArray<string>
): Result.Result<string, MalformedDocument> => {
  const own = typeof value.mediaType === "string" ? value.mediaType : ""
  const known = [own, ...declared].filter((type) => isIndexType(type) || isManifestType(type) || isSchema1Type(type))
  if (own !== "" && !known.includes(own)) {
    return refuse("image manifest", `the media type ${JSON.stringify(own.slice(0, 200))} is not that of an image`)
  }
  const type = known[0] ?? (has(value, "manifests") ? ociIndex : ociManifest)
  const other = known.find((candidate) => candidate !== type)
  return other === undefined
    ? Result.succeed(type)
    : refuse("image manifest", `its media type is both ${type} and ${other}`)
}

const checkManifest = (manifest: Manifest): Result.Result<ImageDocument, MalformedDocument> => {
  const configType = manifest.config.mediaType
  // Docker writes its own type; old builders leave it out. Anything else is an artifact (chart, signature, module).
  if (configType !== "" && !isImageConfigType(configType)) {
    return refuse(
      "image manifest",
      `its configuration is a ${JSON.stringify(configType.slice(0, 200))}: this is an artifact, not a container image`
    )
  }
  if (manifest.layers.length > maxLayers) {
    return refuse("image manifest", `it has ${manifest.layers.length} layers, at most ${maxLayers} are accepted`)
  }
  const odd = manifest.layers.find((layer) => !isLayerType(layer.mediaType))
  return odd === undefined
    ? Result.succeed({ _tag: "Manifest", manifest })
    : refuse(
        "image manifest",
        `layer ${odd.digest} has the media type ${JSON.stringify(odd.mediaType.slice(0, 200))}, which cannot be unpacked`
      )
}

/** Reads a manifest or an index. `declaredTypes`: the response's Content-Type and the descriptor's mediaType, where known. */
export const parseImageDocument = (
  bytes: Uint8Array,
  declaredTypes: ReadonlyArray<string> = []
): Result.Result<ImageDocument, MalformedDocument> =>
  Result.gen(function* () {
    const value = yield* readObject("image manifest", bytes)
    const type = yield* agreedType(value, declaredTypes)
    if (value.schemaVersion === 1 || isSchema1Type(type) || schema1Fields.some((field) => has(value, field))) {
      return yield* refuse(
        "image manifest",
        "Docker schema 1 is not supported; push the image again with a current tool"
      )
    }
    if (isIndexType(type)) {
      if (manifestFields.some((field) => has(value, field))) {
        return yield* refuse("image index", "it is an index and a manifest at once")
      }
      return { _tag: "Index", index: yield* decodeIndex({ ...value, mediaType: type }) } as const
    }
    if (indexFields.some((field) => has(value, field))) {
      return yield* refuse("image manifest", "it is a manifest and an index at once")
    }
    return yield* checkManifest(yield* decodeManifest({ ...value, mediaType: type }))
  })
