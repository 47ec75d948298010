import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { zstdCompressSync } from "node:zlib"
import { ImagePuller } from "../../src/image/ImagePuller.ts"
import type { PullError } from "../../src/image/PullError.ts"
import * as MediaType from "../../src/model/MediaType.ts"
import { type Answer, type Handler, registryOf, respond } from "./support/fakeRegistry.ts"
import { json, makeImage, makeIndex, sha256, type TestImage } from "./support/images.ts"
import { makePuller, noAuth, registriesConf } from "./support/puller.ts"

const image = makeImage()
const registry = registryOf({ images: [image], tags: { latest: image.manifest, v1: image.manifest } })

const pull = (reference: string, auth = noAuth) =>
  Effect.flatMap(ImagePuller, (puller) => puller.pull({ reference, auth }))

const withTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.forever(Effect.andThen(TestClock.adjust("5 seconds"), Effect.sleep(0)))
  ) as Effect.Effect<A, E, R>

const failure = (handler: Handler, reference = "r.example/app:v1", options: Parameters<typeof makePuller>[1] = {}) => {
  const world = makePuller(handler, options)
  return withTime(Effect.flip(pull(reference))).pipe(
    Effect.provide(world.layer),
    Effect.map((error: PullError) => {
      assert.strictEqual(world.store.images.size, 0)
      assert.strictEqual(world.store.staged.size, 0)
      return error
    })
  )
}

describe("a pull", () => {
  it.effect("by tag stores the tag, by digest the digest, and the second costs one request", () => {
    const world = makePuller(registry)
    return Effect.gen(function* () {
      const byTag = yield* pull("r.example/app")
      assert.strictEqual(byTag.id, image.id)
      assert.deepStrictEqual(byTag.names, ["r.example/app:latest"])
      const before = world.http.log.length
      const byDigest = yield* pull(`r.example/app:v1@${image.manifestDigest}`)
      assert.deepStrictEqual(byDigest.names, ["r.example/app:latest", `r.example/app@${image.manifestDigest}`])
      assert.strictEqual(world.http.log.length, before + 1)
      assert.strictEqual(world.store.staged.size, 0)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect(
    "chooses the image of this platform from an index, and remembers the index's digest when asked by it",
    () => {
      const arm = makeImage({ layers: [new TextEncoder().encode("arm")] })
      const index = makeIndex([
        { image: arm, architecture: "arm64", variant: "v8" },
        { image, architecture: "amd64" }
      ])
      const world = makePuller(registryOf({ images: [arm, image], tags: { v1: index } }))
      return Effect.gen(function* () {
        const stored = yield* pull(`r.example/app@${sha256(index)}`)
        assert.strictEqual(stored.manifestDigest, image.manifestDigest)
        assert.deepStrictEqual(stored.names, [`r.example/app@${sha256(index)}`])
        const error = yield* failure(
          registryOf({ images: [arm], tags: { v1: makeIndex([{ image: arm, architecture: "arm64" }]) } })
        )
        assert.strictEqual(error._tag, "NoMatchingPlatform")
        assert.include(error.message, "no image for linux/amd64, only for linux/arm64")
      }).pipe(Effect.provide(world.layer))
    }
  )

  it.effect("reads the compression from the bytes and accepts Docker's types", () => {
    const zstd = makeImage({
      layers: [new TextEncoder().encode("z")],
      compress: (layer) => new Uint8Array(zstdCompressSync(layer)),
      layerType: MediaType.dockerLayerGzip,
      manifest: { mediaType: MediaType.dockerManifest }
    })
    const plain = makeImage({ layers: [new TextEncoder().encode("p")], compress: (layer) => layer })
    const world = makePuller(
      registryOf({ images: [zstd, plain], tags: { zstd: zstd.manifest, plain: plain.manifest } })
    )
    return Effect.gen(function* () {
      yield* pull("r.example/app:zstd")
      yield* pull("r.example/app:plain")
      assert.deepStrictEqual(world.store.compressions, ["zstd", "none"])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("downloads only the layers above those that are here", () => {
    const base = makeImage({ layers: [new TextEncoder().encode("base")] })
    const derived = makeImage({ layers: ["base", "mid", "top"].map((text) => new TextEncoder().encode(text)) })
    const world = makePuller(
      registryOf({ images: [base, derived], tags: { base: base.manifest, derived: derived.manifest } })
    )
    return Effect.gen(function* () {
      yield* pull("r.example/app:base")
      yield* pull("r.example/app:derived")
      const baseLayer = sha256(base.layers[0] ?? new Uint8Array())
      assert.strictEqual(world.http.paths().filter((path) => path.endsWith(baseLayer)).length, 1)
    }).pipe(Effect.provide(world.layer))
  })
})

describe("sources", () => {
  const conf = `
[[registry]]
prefix = "docker.io"
location = "up.example"
[[registry.mirror]]
location = "mirror.example"
`
  const files = {
    [registriesConf]: conf,
    "/auth.json": JSON.stringify({ auths: { "mirror.example": { auth: btoa("m:mp") } } })
  }

  it.effect("the registry helps where the mirror fails, and the name stays the user's", () => {
    const world = makePuller((asked) => (asked.url.host === "mirror.example" ? respond(503) : registry(asked)), {
      files
    })
    return Effect.gen(function* () {
      const stored = yield* withTime(pull("busybox"))
      assert.deepStrictEqual(stored.names, ["docker.io/library/busybox:latest"])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a mirror with damaged layers is passed over", () => {
    const world = makePuller(
      (asked) =>
        asked.url.host === "mirror.example" && asked.url.pathname.includes("/blobs/")
          ? respond(200, new Uint8Array(image.layers[0]?.length ?? 0))
          : registry(asked),
      { files }
    )
    return Effect.gen(function* () {
      yield* withTime(pull("busybox"))
      assert.strictEqual(world.store.images.size, 1)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("the error names every source", () =>
    Effect.gen(function* () {
      const error = yield* failure(() => "refuse", "busybox", { files })
      assert.strictEqual(error._tag, "RegistryUnavailable")
      assert.isTrue(error.message.startsWith("RegistryUnavailable: pull docker.io/library/busybox:latest: "))
      assert.include(error.message, "no answer from up.example")
      assert.include(
        error.message,
        "mirrors also failed: manifest latest of library/busybox: no answer from mirror.example"
      )
    })
  )

  it.effect("the request's credentials never reach another host; the node's files serve that host", () => {
    const world = makePuller(
      (asked) =>
        asked.headers.authorization === undefined ? respond(401, "", { "www-authenticate": "Basic" }) : respond(403),
      { files, settings: { authFiles: ["/auth.json"] } }
    )
    return Effect.gen(function* () {
      yield* Effect.flip(pull("docker.io/team/app:1", { ...noAuth, username: "u", password: "p" }))
      const sent = JSON.stringify(world.http.log.map(({ url, headers }) => [url.host, headers.authorization]))
      assert.notInclude(sent, btoa("u:p"))
      assert.include(sent, JSON.stringify(["mirror.example", `Basic ${btoa("m:mp")}`]))
    }).pipe(Effect.provide(world.layer))
  })
})

describe("refused images", () => {
  const serving = (manifest: Uint8Array, blobs: TestImage = image): Handler =>
    registryOf({ images: [{ ...blobs, manifest }], tags: { v1: manifest } })

  it.effect("content that is not what its digest says", () =>
    Effect.gen(function* () {
      const other = makeImage({ layers: [new TextEncoder().encode("other")] })
      // A registry that answers with another image, complete and well-formed.
      const exchanged = registryOf({ images: [other], tags: { [image.manifestDigest]: other.manifest } })
      const byDigest = yield* failure(exchanged, `r.example/app@${image.manifestDigest}`)
      assert.strictEqual(byDigest._tag, "PulledDigestMismatch")
      const config = yield* failure((asked) =>
        asked.url.pathname.endsWith(image.id)
          ? respond(200, json({ x: "y".repeat(image.config.length - 8) }))
          : registry(asked)
      )
      assert.strictEqual(config._tag, "PulledDigestMismatch")
      const layer = yield* failure((asked) => {
        const bytes = image.layers[1] ?? new Uint8Array()
        return asked.url.pathname.endsWith(sha256(bytes))
          ? respond(
              200,
              bytes.map((byte) => byte ^ 1)
            )
          : registry(asked)
      })
      assert.include(["InvalidImage", "PulledDigestMismatch"], layer._tag)
    })
  )

  it.effect("documents that do not fit together", () =>
    Effect.gen(function* () {
      const fewer = makeImage({ config: { rootfs: { type: "layers", diff_ids: [] } } })
      const counted = yield* failure(serving(fewer.manifest, fewer))
      assert.strictEqual(counted._tag, "InvalidImage")
      assert.include(counted.message, "it names 0 layers, the manifest 2")
      const windows = makeImage({ config: { os: "windows" } })
      assert.include((yield* failure(serving(windows.manifest, windows))).message, "windows")
      const mixed = makeImage({ manifest: { manifests: [] } })
      assert.include((yield* failure(serving(mixed.manifest, mixed))).message, "at once")
      const large = makeImage({
        manifest: { config: { mediaType: MediaType.ociConfig, digest: sha256(image.config), size: 1e9 } }
      })
      assert.include((yield* failure(serving(large.manifest, large))).message, "at most 4194304")
      const xz = makeImage({ compress: () => Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0) })
      assert.include((yield* failure(serving(xz.manifest, xz))).message, "compressed with xz")
    })
  )

  it.effect("indexes nested without end, and an index that lies about a size", () =>
    Effect.gen(function* () {
      const blobs = new Map<string, Uint8Array>()
      const wrap = (inner: Uint8Array): Uint8Array => {
        blobs.set(sha256(inner), inner)
        return json({
          schemaVersion: 2,
          mediaType: MediaType.ociIndex,
          manifests: [{ mediaType: MediaType.ociIndex, digest: sha256(inner), size: inner.length }]
        })
      }
      let nested: Uint8Array = makeIndex([{ image, architecture: "amd64" }])
      for (let depth = 0; depth < 6; depth++) nested = wrap(nested)
      const deep = yield* failure(({ url }) => {
        const name = url.pathname.split("/").at(-1) ?? ""
        return respond(200, name === "v1" ? nested : blobs.get(name), { "content-type": MediaType.ociIndex })
      })
      assert.include(deep.message, "nested more than")
      const lying = json({
        schemaVersion: 2,
        mediaType: MediaType.ociIndex,
        manifests: [
          {
            mediaType: MediaType.ociManifest,
            digest: image.manifestDigest,
            size: 7,
            platform: { os: "linux", architecture: "amd64" }
          }
        ]
      })
      const size = yield* failure(registryOf({ images: [image], tags: { v1: lying } }))
      assert.strictEqual(size._tag, "PulledDigestMismatch")
    })
  )

  it.effect("errors say what to do, in the kubelet's words where it has some", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* failure(registry, "r.example/app:none"))._tag, "ImageNotFoundInRegistry")
      assert.strictEqual((yield* failure(() => respond(403)))._tag, "PullUnauthorized")
      assert.strictEqual((yield* failure(() => respond(418)))._tag, "PullRefused")
      assert.strictEqual((yield* failure(() => respond(500)))._tag, "RegistryUnavailable")
      assert.strictEqual((yield* failure(registry, "R.example/App"))._tag, "InvalidReference")
      const blocked = { [registriesConf]: `[[registry]]\nlocation="r.example"\nblocked=true` }
      assert.strictEqual((yield* failure(registry, undefined, { files: blocked }))._tag, "RegistryBlocked")
    })
  )
})

describe("sharing", () => {
  /** A registry that holds back every blob until it is opened. */
  const gated = (inner: Handler) => {
    let open: () => void = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const handler: Handler = async (asked): Promise<Answer> => {
      if (asked.url.pathname.includes("/blobs/")) await gate
      return inner(asked)
    }
    return { handler, open: () => open() }
  }
  const settle = Effect.forEach(Array.from({ length: 20 }), () =>
    Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  )

  it.effect("equal requests share one download; other credentials do not", () => {
    const { handler, open } = gated(registry)
    const world = makePuller(handler)
    return Effect.gen(function* () {
      const one = yield* Effect.forkChild(pull("r.example/app:v1"), { startImmediately: true })
      const two = yield* Effect.forkChild(pull("r.example/app:v1"), { startImmediately: true })
      yield* settle
      assert.strictEqual(world.http.log.length, 2)
      const other = yield* Effect.forkChild(pull("r.example/app:v1", { ...noAuth, username: "u", password: "p" }), {
        startImmediately: true
      })
      yield* settle
      assert.strictEqual(world.http.log.length, 4)
      open()
      assert.strictEqual((yield* Fiber.join(one)).id, (yield* Fiber.join(two)).id)
      yield* Fiber.join(other)
      for (const layer of image.layers) {
        assert.strictEqual(world.http.paths().filter((path) => path.endsWith(sha256(layer))).length, 1)
      }
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("the download goes on while anybody waits and stops with the last", () => {
    const { handler, open } = gated(registry)
    const world = makePuller(handler)
    return Effect.gen(function* () {
      const one = yield* Effect.forkChild(pull("r.example/app:v1"), { startImmediately: true })
      const two = yield* Effect.forkChild(pull("r.example/app:v1"), { startImmediately: true })
      yield* settle
      yield* Fiber.interrupt(one)
      open()
      assert.strictEqual((yield* Fiber.join(two)).id, image.id)

      const hung = makePuller((asked) =>
        asked.url.pathname.endsWith(sha256(image.layers[1] ?? new Uint8Array())) ? undefined : registry(asked)
      )
      yield* Effect.gen(function* () {
        const last = yield* Effect.forkChild(pull("r.example/app:v1"), { startImmediately: true })
        while (hung.store.staged.size === 0) yield* settle
        yield* Fiber.interrupt(last)
        assert.strictEqual(hung.store.staged.size, 0)
        assert.strictEqual(hung.store.images.size, 0)
      }).pipe(Effect.provide(hung.layer))
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a failed pull is tried anew by the next request", () => {
    let broken = true
    const world = makePuller((asked) => (broken ? respond(403) : registry(asked)))
    return Effect.gen(function* () {
      assert.isTrue(Result.isFailure(yield* Effect.result(pull("r.example/app:v1"))))
      broken = false
      assert.strictEqual((yield* pull("r.example/app:v1")).id, image.id)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("pulls of different images wait for shared leading layers instead of downloading them twice", () => {
    const text = (value: string) => new TextEncoder().encode(value)
    const left = makeImage({ layers: [text("base"), text("left")] })
    const right = makeImage({ layers: [text("base"), text("right")] })
    const { handler, open } = gated(
      registryOf({ images: [left, right], tags: { left: left.manifest, right: right.manifest } })
    )
    const world = makePuller(handler)
    return Effect.gen(function* () {
      const one = yield* Effect.forkChild(pull("r.example/app:left"), { startImmediately: true })
      const two = yield* Effect.forkChild(pull("r.example/app:right"), { startImmediately: true })
      yield* settle
      open()
      yield* Fiber.join(one)
      yield* Fiber.join(two)
      assert.strictEqual(world.store.images.size, 2)
      const base = sha256(left.layers[0] ?? new Uint8Array())
      assert.strictEqual(world.http.paths().filter((path) => path.endsWith(base)).length, 1)
    }).pipe(Effect.provide(world.layer))
  })
})
