import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ImageSpec, ListImagesResponse } from "../../../src/gen/runtime/v1/api.ts"
import { Encoded } from "../../../src/cri/adapter.ts"
import { imageStatus } from "../../../src/cri/image/imageStatus.ts"
import { listImages } from "../../../src/cri/image/listImages.ts"
import { pullImage } from "../../../src/cri/image/pullImage.ts"
import { removeImage } from "../../../src/cri/image/removeImage.ts"
import { Jobs } from "../../../src/pod/Jobs.ts"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import { ImageStore } from "../../../src/store/ImageStore.ts"
import { ImageInUse } from "../../../src/store/StoreError.ts"
import { registryOf } from "../../image/support/fakeRegistry.ts"
import { makeImage } from "../../image/support/images.ts"
import { makePuller, noAuth } from "../../image/support/puller.ts"

const image = makeImage({ config: { config: { User: "1000:users", Labels: { a: "b" } } } })
const makeWorld = (pinnedImages: ReadonlyArray<string> = []) => {
  const world = makePuller(registryOf({ images: [image], tags: { v1: image.manifest, v2: image.manifest } }), {
    settings: { pinnedImages }
  })
  const containers = Layer.mock(ContainerStore, {
    mountpoint: "/store",
    directory: (id) => id,
    runDirectory: (id) => id,
    list: Effect.succeed([
      {
        id: "volume",
        names: [],
        imageId: image.id,
        layerId: "layer",
        metadata: JSON.stringify({ "volume-of": "reader" }),
        createdMs: 0
      }
    ])
  })
  return { ...world, layer: Layer.mergeAll(world.layer, Jobs.layer, containers) }
}

const spec = (name: string): ImageSpec => ({ ...ImageSpec.decode(new Uint8Array()), image: name })
const pull = (name: string) => pullImage({ image: spec(name), auth: undefined, sandboxConfig: undefined })
const status = (name: string, verbose = false) => imageStatus({ image: spec(name), verbose })
const list = (name?: string) =>
  Effect.map(listImages({ filter: name === undefined ? undefined : { image: spec(name) } }), (response) =>
    response instanceof Encoded ? ListImagesResponse.decode(response.bytes) : response
  )

describe("ImageService", () => {
  it.effect("pull, status and list agree on the id, names, digests and user", () => {
    const world = makeWorld(["r.example/a*"])
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* pull("r.example/app:v1"), { imageRef: image.id })
      yield* pull("r.example/app:v2")
      const found = (yield* status("r.example/app:v1")).image
      assert.strictEqual(found?.id, image.id)
      assert.deepStrictEqual(found?.repoTags, ["r.example/app:v1", "r.example/app:v2"])
      assert.deepStrictEqual(found?.repoDigests, [`r.example/app@${image.manifestDigest}`])
      assert.deepStrictEqual(found?.uid, { value: 1000n })
      assert.strictEqual(found?.username, "")
      assert.isTrue(found?.pinned)
      assert.isTrue((found?.size ?? 0n) > 0n)
      assert.deepStrictEqual((yield* list()).images, found === undefined ? [] : [found])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("an image is found by id, prefix, digest and tag+digest; filters by the same", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      yield* pull("r.example/app:v1")
      const digest = image.manifestDigest
      for (const name of [
        image.id,
        `sha256:${image.id}`,
        image.id.slice(0, 12),
        `r.example/app@${digest}`,
        `r.example/app:v9@${digest}`
      ]) {
        assert.strictEqual((yield* status(name)).image?.id, image.id, name)
        assert.strictEqual((yield* list(name)).images.length, 1, name)
      }
      for (const name of [
        "r.example/app",
        "r.example/app:v3",
        `r.example/other@${digest}`,
        "ab",
        "f".repeat(64),
        "Not A Name"
      ]) {
        assert.isUndefined((yield* status(name)).image, name)
        assert.strictEqual((yield* list(name)).images.length, 0, name)
      }
    }).pipe(Effect.provide(world.layer))
  })

  const digest = image.manifestDigest
  const pins: ReadonlyArray<readonly [pattern: string, expected: boolean]> = [
    ["r.example/app:v1", true],
    ["r.example/app:v2", false],
    ["r.example/app", false],
    ["r.example/app*", true],
    ["*example*", true],
    ["r.example", false],
    [`r.example/app@${digest}`, true],
    // As it is stored when it is pulled so: the digest alone counts.
    [`r.example/app:v9@${digest}`, true],
    [`r.example/other@${digest}`, false],
    ["", false]
  ]
  for (const [pattern, expected] of pins) {
    it.effect(`${JSON.stringify(pattern)} ${expected ? "pins" : "does not pin"} what is pulled by its tag`, () => {
      const world = makeWorld([pattern])
      return Effect.gen(function* () {
        yield* pull("r.example/app:v1")
        assert.strictEqual((yield* status("r.example/app:v1")).image?.pinned, expected)
      }).pipe(Effect.provide(world.layer))
    })
  }

  it.effect("a prefix of two ids names neither", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      yield* pull("r.example/app:v1")
      const [stored] = world.store.images.values()
      const twin = `${image.id.slice(0, 20)}${"0".repeat(44)}`
      if (stored !== undefined) world.store.images.set(twin, { ...stored, id: twin, names: [] })
      assert.isUndefined((yield* status(image.id.slice(0, 12))).image)
      assert.strictEqual((yield* status(image.id)).image?.id, image.id)
      assert.strictEqual((yield* status(twin)).image?.id, twin)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("verbose status carries the image's configuration", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      yield* pull("r.example/app:v1")
      const { info } = yield* status("r.example/app:v1", true)
      const parsed = JSON.parse(info.info ?? "") as { imageSpec: { config: { User: string } }; labels: unknown }
      assert.strictEqual(parsed.imageSpec.config.User, "1000:users")
      assert.deepStrictEqual(parsed.labels, { a: "b" })
      assert.deepStrictEqual((yield* status("r.example/app:v1")).info, {})
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("remove takes every name and succeeds for what is not there; the list follows", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      yield* pull("r.example/app:v1")
      yield* pull("r.example/app:v2")
      assert.strictEqual((yield* list()).images.length, 1)
      yield* removeImage({ image: spec("r.example/app:v2") })
      yield* removeImage({ image: spec("r.example/app:v2") })
      assert.isUndefined((yield* status("r.example/app:v1")).image)
      assert.strictEqual((yield* list()).images.length, 0)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("an image in use stays; who reads it as a volume is named by its own id", () => {
    const world = makeWorld()
    const used = Layer.effect(
      ImageStore,
      Effect.map(ImageStore, (store) => ({
        ...store,
        remove: (imageId: string) => Effect.fail(new ImageInUse({ imageId, containers: ["stands", "volume"] }))
      }))
    ).pipe(Layer.provideMerge(world.layer))
    return Effect.gen(function* () {
      yield* pull("r.example/app:v1")
      const error = yield* Effect.flip(removeImage({ image: spec("r.example/app:v1") }))
      assert.strictEqual(error._tag, "ImageInUse")
      assert.include(error.message, "stands, reader")
    }).pipe(Effect.provide(used))
  })

  it.effect("credentials that cannot be read are invalid, and their text is not told", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      const request = { image: spec("r.example/app:v1"), sandboxConfig: undefined }
      for (const auth of ["!!!", btoa("no colon"), btoa(":only"), "c2VjcmV0"]) {
        const error = yield* Effect.flip(pullImage({ ...request, auth: { ...noAuth, auth } }))
        assert.strictEqual(error._tag, "InvalidRequest", auth)
        assert.match(error.message, /auth\.auth/)
        assert.notInclude(error.message, auth)
      }
      for (const auth of [{ auth: "!!!", username: "u" }, { auth: btoa("u:p") }, {}]) {
        assert.deepStrictEqual(yield* pullImage({ ...request, auth: { ...noAuth, ...auth } }), { imageRef: image.id })
      }
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a request without a name is invalid", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      const tags = [
        yield* Effect.flip(pull("")),
        yield* Effect.flip(status("")),
        yield* Effect.flip(removeImage({ image: undefined }))
      ].map(({ _tag }) => _tag)
      assert.deepStrictEqual(tags, ["InvalidRequest", "InvalidRequest", "InvalidRequest"])
    }).pipe(Effect.provide(world.layer))
  })
})
