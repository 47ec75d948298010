/** Turns the bytes of a layer blob into files: inflates, hashes, reads the tar, writes below one directory. */
import { Context, type Effect, Layer, Schema, type Stream } from "effect"
import { makeUnpacker } from "./unpack/pool.ts"

export type Compression = "none" | "gzip" | "zstd"

export interface UnpackRequest<E> {
  /** The blob as it comes from the registry. */
  readonly blob: Stream.Stream<Uint8Array, E>
  readonly compression: Compression
  /** The layer's empty `diff` directory. Nothing is ever written outside it; on success all of it is on the disk. */
  readonly directory: string
  /** Where to write tar-split data (gzip of JSON lines). */
  readonly tarSplitPath: string
  /** More bytes than this in the blob is an error (the descriptor's size). */
  readonly blobSize: number
}

export interface UnpackedLayer {
  /** "sha256:…" of the blob's bytes. */
  readonly blobDigest: string
  /** Bytes read of the blob; fewer than announced is an error. */
  readonly blobSize: number
  /** "sha256:…" of the uncompressed tar: the diffID. */
  readonly diffId: string
  /** Bytes of the uncompressed tar. */
  readonly diffSize: number
  /** Owners seen, ascending. */
  readonly uids: ReadonlyArray<number>
  readonly gids: ReadonlyArray<number>
}

/** The layer's content is refused (hostile or damaged) or could not be written; `entry` is the tar entry at fault. */
export class UnpackError extends Schema.TaggedError<UnpackError>()("UnpackError", {
  directory: Schema.String,
  entry: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `unpack layer into ${this.directory}: ${this.entry === "" ? "" : `entry ${JSON.stringify(this.entry)}: `}${this.reason}`
  }
}

export class LayerUnpacker extends Context.Service<
  LayerUnpacker,
  {
    /** Interruption stops the worker's job and leaves a partial directory, which its owner removes. */
    readonly unpack: <E>(request: UnpackRequest<E>) => Effect.Effect<UnpackedLayer, UnpackError | E>
  }
>()("cricket/linux/LayerUnpacker") {
  /** At most two worker threads, started by the first layer and ended after 30 s without one. */
  static readonly layer = Layer.effect(LayerUnpacker, makeUnpacker({}))
}
