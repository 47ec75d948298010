/** Turns the bytes of a layer blob into files: inflates, hashes, reads the tar, writes below one directory. */
import { Context, type Effect, Layer, type Stream } from "effect"
import { makeUnpacker } from "./unpack/pool.ts"
import type { UnpackError } from "./unpack/UnpackError.ts"

export { UnpackError } from "./unpack/UnpackError.ts"

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
