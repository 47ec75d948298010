import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { fetchConfig } from "../../../src/image/internal/manifestOf.ts"
import type { ImageSource } from "../../../src/image/ImageSource.ts"
import { digestOf } from "../../../src/model/Digest.ts"
import * as MediaType from "../../../src/model/MediaType.ts"

const platform = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } }

/** A registry that sends a configuration in these pieces. */
const sourceOf = (pieces: Iterable<Uint8Array>): ImageSource<never> => ({
  place: "r.example",
  manifest: () => Effect.die("nobody asks for it"),
  blob: () => Stream.fromIterable(pieces)
})

const manifestOf = (config: Uint8Array) => ({
  config: { mediaType: MediaType.ociConfig, digest: digestOf(config), size: config.length },
  layers: []
})

describe("the configuration of an image", () => {
  // Copied anew with every piece, it would take minutes.
  it.effect("comes whole, however small the pieces are", () => {
    const config = Buffer.from(JSON.stringify({ ...platform, author: "a".repeat(500_000) }))
    const source = sourceOf(Array.from(config, (byte) => Uint8Array.of(byte)))
    return Effect.gen(function* () {
      const { bytes } = yield* fetchConfig(source, manifestOf(config))
      assert.strictEqual(Buffer.compare(bytes, config), 0)
    })
  })

  it.effect("is refused when its bytes are not those of its digest", () => {
    const config = Buffer.from(JSON.stringify(platform))
    const source = sourceOf([Buffer.from("{}")])
    return Effect.gen(function* () {
      const error = yield* Effect.flip(fetchConfig(source, manifestOf(config)))
      assert.strictEqual(error._tag, "ContentMismatch")
      assert.include(error.message, digestOf(config))
    })
  })

  it.effect("is refused when it names other layers than the manifest", () => {
    const config = Buffer.from(
      JSON.stringify({ ...platform, rootfs: { type: "layers", diff_ids: [digestOf(Buffer.from("layer"))] } })
    )
    return Effect.gen(function* () {
      const error = yield* Effect.flip(fetchConfig(sourceOf([config]), manifestOf(config)))
      assert.include(error.message, "it names 1 layers, the manifest 0")
    })
  })
})
