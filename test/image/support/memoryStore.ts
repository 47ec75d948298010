/** An image store in memory that verifies as the real one does and tells what it holds. */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { gunzipSync, zstdDecompressSync } from "node:zlib"
import { Effect, Layer, Result, Stream } from "effect"
import { UnpackError, type Compression } from "../../../src/linux/LayerUnpacker.ts"
import { parseImageConfig } from "../../../src/model/ImageConfig.ts"
import { ImageStore, type ImageSnapshot, type StagedLayer, type StoredImage } from "../../../src/store/ImageStore.ts"

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const inflate: Record<Compression, (bytes: Uint8Array) => Uint8Array> = {
  none: (bytes) => bytes,
  gzip: (bytes) => gunzipSync(bytes),
  zstd: (bytes) => zstdDecompressSync(bytes)
}

export const makeMemoryStore = () => {
  const images = new Map<string, StoredImage>()
  const chains = new Set<string>()
  const staged = new Set<string>()
  const compressions: Array<Compression> = []
  let tokens = 0

  const snapshot = (): ImageSnapshot => ({
    images: [...images.values()],
    byId: new Map(images),
    byName: new Map([...images.values()].flatMap((image) => image.names.map((name) => [name, image] as const)))
  })
  const take = (names: ReadonlyArray<string>) => {
    for (const [id, image] of images) {
      images.set(id, { ...image, names: image.names.filter((name) => !names.includes(name)) })
    }
  }

  const layer = Layer.mock(ImageStore, {
    snapshot: Effect.sync(snapshot),
    existingLayers: (diffIds) =>
      Effect.sync(() => {
        let count = 0
        while (count < diffIds.length && chains.has(diffIds.slice(0, count + 1).join(" "))) count += 1
        return count
      }),
    stageLayer: (source) =>
      Effect.gen(function* () {
        const chunks = yield* Stream.runCollect(source.blob)
        const blob = new Uint8Array(Buffer.concat(chunks))
        const refuse = (reason: string) => new UnpackError({ directory: "memory", entry: "", reason })
        if (blob.length !== source.blobSize) return yield* refuse(`${blob.length} bytes`)
        if (sha256(blob) !== source.blobDigest) return yield* refuse("blob digest")
        if (sha256(inflate[source.compression](blob)) !== source.diffId) return yield* refuse("diffID")
        compressions.push(source.compression)
        return yield* Effect.acquireRelease(
          Effect.sync((): StagedLayer => {
            const token = `t${tokens++}`
            staged.add(token)
            return { diffId: source.diffId, blobDigest: source.blobDigest, token }
          }),
          ({ token }) => Effect.sync(() => staged.delete(token))
        )
      }),
    commit: (image) =>
      Effect.sync(() => {
        const config = Result.getOrThrow(parseImageConfig(image.config))
        take(image.names)
        config.rootfs.diff_ids.forEach((_, index, all) => chains.add(all.slice(0, index + 1).join(" ")))
        for (const part of image.layers) if ("token" in part) staged.delete(part.token)
        const id = sha256(image.config).slice("sha256:".length)
        const stored: StoredImage = {
          id,
          manifestDigest: image.manifestDigest,
          names: [...new Set([...(images.get(id)?.names ?? []), ...image.names])],
          topLayer: "top",
          size: 1 + image.manifest.length,
          createdMs: 0,
          config
        }
        images.set(id, stored)
        return stored
      }),
    addNames: (imageId, names) =>
      Effect.sync(() => {
        take(names)
        const image = images.get(imageId)
        if (image !== undefined) images.set(imageId, { ...image, names: [...image.names, ...names] })
      }),
    remove: (imageId) => Effect.sync(() => void images.delete(imageId))
  })
  return { layer, images, staged, compressions }
}
