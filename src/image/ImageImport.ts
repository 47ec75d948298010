/** Imports an image from an OCI image layout on disk (image-spec image-layout.md) by the same path as a pull. */
import { Context, Effect, Layer, Option, Schema, Semaphore, Stream } from "effect"
import { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { hexOf, isDigest } from "../model/Digest.ts"
import { decoderOf, maxDocumentBytes, readObject } from "../model/ImageDocument.ts"
import { ImageStore, type StoredImage } from "../store/ImageStore.ts"
import type { ImageSource } from "./ImageSource.ts"
import { installImage } from "./internal/installImage.ts"
import { makeLayerClaims } from "./internal/layerClaims.ts"
import { type PullError, toPullError } from "./PullError.ts"
import { PullSettings } from "./PullSettings.ts"
import { formatReference, InvalidReference, parseReference, pinned } from "./Reference.ts"

/** Bytes read at a time. */
const chunkBytes = 256 * 1024

const decodeLayout = decoderOf("OCI layout", Schema.Struct({ imageLayoutVersion: Schema.Literal("1.0.0") }))

export interface ImportRequest {
  /** Directory that holds `oci-layout`, `index.json` and `blobs`. Its path is the operator's, not the image's. */
  readonly directory: string
  /** Name that the image gets, with a tag. */
  readonly name: string
}

export class ImageImport extends Context.Service<
  ImageImport,
  {
    readonly importLayout: (request: ImportRequest) => Effect.Effect<StoredImage, PullError>
  }
>()("cricket/image/ImageImport") {
  static readonly layer: Layer.Layer<ImageImport, never, Files | ImageStore | PullSettings> = Layer.effect(
    ImageImport,
    Effect.gen(function* () {
      const files = yield* Files
      const store = yield* ImageStore
      const { layersPerImage, platform } = yield* PullSettings
      const limits = {
        claims: yield* makeLayerClaims,
        downloads: yield* Semaphore.make(layersPerImage),
        layersPerImage
      }

      /** Reads a blob as a stream; one byte more than promised is read, so that a longer file is noticed. */
      const blobStream = (path: string, size: number): Stream.Stream<Uint8Array, LinuxError> =>
        Stream.unwrap(
          Effect.map(files.open(path, "read"), (file) =>
            Stream.paginate(0, (offset: number) =>
              Effect.map(file.read(offset, Math.min(chunkBytes, size + 1 - offset)), (bytes) => {
                const next = offset + bytes.length
                return [
                  bytes.length === 0 ? [] : [bytes],
                  bytes.length === 0 || next > size ? Option.none() : Option.some(next)
                ] as const
              })
            )
          )
        )

      const layoutSource = (directory: string): ImageSource<LinuxError> => ({
        place: directory,
        manifest: (tagOrDigest) =>
          Effect.map(
            files.readFile(
              isDigest(tagOrDigest) ? `${directory}/blobs/sha256/${hexOf(tagOrDigest)}` : `${directory}/index.json`,
              { maxBytes: maxDocumentBytes }
            ),
            (bytes) => ({ bytes, mediaType: undefined })
          ),
        blob: ({ digest, size }) => blobStream(`${directory}/blobs/sha256/${hexOf(digest)}`, size)
      })

      const importLayout = Effect.fn("ImageImport.importLayout")(function* ({ directory, name }: ImportRequest) {
        const reference = yield* Effect.fromResult(parseReference(name))
        if (reference.digest !== undefined) {
          return yield* new InvalidReference({ text: name, reason: "an imported image is named by a tag" })
        }
        const fullName = formatReference(pinned(reference))
        return yield* Effect.gen(function* () {
          const layout = yield* files.readFile(`${directory}/oci-layout`, { maxBytes: maxDocumentBytes })
          yield* Effect.flatMap(Effect.fromResult(readObject("OCI layout", layout)), (value) =>
            Effect.fromResult(decodeLayout(value))
          )
          return yield* installImage(
            {
              source: layoutSource(directory),
              reference: directory,
              // The layout's index.json, whatever the tag.
              tagOrDigest: "index.json",
              names: [fullName],
              platform
            },
            limits
          )
        }).pipe(
          Effect.provideService(ImageStore, store),
          Effect.mapError((error) => toPullError(directory, error, []))
        )
      })
      return ImageImport.of({ importLayout })
    })
  )
}
