/** The image configuration (OCI image-spec config.md; Docker's image specification v1.2 has the same shape). */
import { Effect, Result, Schema } from "effect"
import { Digest } from "./Digest.ts"
import { decoderOf, readObject, type MalformedDocument } from "./ImageDocument.ts"

const text = Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("")))
const texts = Schema.Array(Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))
/** Go writes a set as a map whose values are empty objects. */
const set = Schema.Record(Schema.String, Schema.Unknown).pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))

/** What a container gets from its image. Missing fields are "", [] or {}. */
export const ProcessConfig = Schema.Struct({
  /** "user", "uid", "user:group", "uid:gid" …; "" is root. */
  User: text,
  /** "NAME=value". */
  Env: texts,
  Entrypoint: texts,
  Cmd: texts,
  WorkingDir: text,
  /** Keys are paths in the container. */
  Volumes: set,
  /** Keys are "port/protocol" or "port". */
  ExposedPorts: set,
  Labels: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** "SIGTERM", "TERM", "15"; "" is SIGTERM. */
  StopSignal: text
})
export type ProcessConfig = typeof ProcessConfig.Type

const History = Schema.Struct({
  created: Schema.optionalKey(Schema.String),
  created_by: Schema.optionalKey(Schema.String),
  author: Schema.optionalKey(Schema.String),
  comment: Schema.optionalKey(Schema.String),
  empty_layer: Schema.optionalKey(Schema.Boolean)
})

/** Everything in it was written by a stranger: labels never reach internal keys, paths never reach the host. */
export const ImageConfig = Schema.Struct({
  architecture: text,
  os: text,
  variant: Schema.optionalKey(Schema.String),
  /** RFC 3339. */
  created: Schema.optionalKey(Schema.String),
  author: Schema.optionalKey(Schema.String),
  config: ProcessConfig.pipe(
    Schema.withDecodingDefaultKey(
      Effect.succeed({
        User: "",
        Env: [],
        Entrypoint: [],
        Cmd: [],
        WorkingDir: "",
        Volumes: {},
        ExposedPorts: {},
        Labels: {},
        StopSignal: ""
      })
    )
  ),
  rootfs: Schema.Struct({
    type: Schema.Literal("layers"),
    /** Digests of the uncompressed layers, base first. */
    diff_ids: Schema.Array(Digest)
  }),
  history: Schema.Array(History).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))
})
export type ImageConfig = typeof ImageConfig.Type

const decode = decoderOf("image configuration", ImageConfig)

export const parseImageConfig = (bytes: Uint8Array): Result.Result<ImageConfig, MalformedDocument> =>
  Result.flatMap(readObject("image configuration", bytes), decode)
