/** Go refuses a whole response for one string that is not UTF-8; images may hold anything. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Encoded } from "../../../src/cri/adapter.ts"
import { imageStatus } from "../../../src/cri/image/imageStatus.ts"
import { listImages } from "../../../src/cri/image/listImages.ts"
import { pullImage } from "../../../src/cri/image/pullImage.ts"
import { streamImages } from "../../../src/cri/image/streamImages.ts"
import {
  ImageSpec,
  ImageStatusResponse,
  ListImagesResponse,
  StreamImagesResponse
} from "../../../src/gen/runtime/v1/api.ts"
import { Jobs } from "../../../src/pod/Jobs.ts"
import { registryOf } from "../../image/support/fakeRegistry.ts"
import { makeImage } from "../../image/support/images.ts"
import { makePuller } from "../../image/support/puller.ts"
import { decodeStrictly } from "../strictUtf8.ts"

const lone = "a\ud800b"
const labels = { [lone]: lone, "\udfff": "\u0000", plain: "\ufffe𐍈" }
const hostile = makeImage({
  config: { config: { User: `${lone}:\udfff`, Labels: labels, Env: [`A=${lone}`], WorkingDir: `/${lone}` } }
})

describe("images with strings that are not Unicode", () => {
  const world = makePuller(registryOf({ images: [hostile], tags: { v1: hostile.manifest } }))
  const layer = Layer.merge(world.layer, Jobs.layer)

  it.effect("are told in strings that every client takes", () =>
    Effect.gen(function* () {
      const image = { ...ImageSpec.decode(new Uint8Array()), image: "r.example/app:v1" }
      yield* pullImage({ image, auth: undefined, sandboxConfig: undefined })
      const status = yield* imageStatus({ image, verbose: true })
      const read = decodeStrictly(ImageStatusResponse, ImageStatusResponse.encode(status).finish())
      assert.strictEqual(read.image?.id, hostile.id)
      assert.isTrue((read.info["info"] ?? "").isWellFormed())
      const told = JSON.parse(read.info["info"] ?? "{}") as { labels: Record<string, string> }
      assert.strictEqual(told.labels["plain"], labels.plain)

      const list = yield* listImages({ filter: undefined })
      const bytes = list instanceof Encoded ? list.bytes : ListImagesResponse.encode(list).finish()
      assert.lengthOf(decodeStrictly(ListImagesResponse, bytes).images, 1)
      for (const message of yield* Stream.runCollect(streamImages({ filter: undefined }))) {
        assert.lengthOf(decodeStrictly(StreamImagesResponse, message.bytes).images, 1)
      }
    }).pipe(Effect.provide(layer))
  )
})
