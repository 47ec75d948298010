/** Where the parts of an image come from: a registry, or a directory. */
import type { Effect, Stream } from "effect"
import type { Digest } from "../model/Digest.ts"

export interface ImageSource<E> {
  /** For messages: "127.0.0.1:5000", "/var/lib/images/busybox". */
  readonly place: string
  /** Bytes of the manifest or index that a tag or digest names, unverified, and the type that came with them. */
  readonly manifest: (
    tagOrDigest: string
  ) => Effect.Effect<{ readonly bytes: Uint8Array; readonly mediaType: string | undefined }, E>
  /** At most `size` bytes, unverified. Nothing is opened before the first pull. */
  readonly blob: (descriptor: { readonly digest: Digest; readonly size: number }) => Stream.Stream<Uint8Array, E>
}
