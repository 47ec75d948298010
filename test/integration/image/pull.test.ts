/** Pulls from a real docker-registry into the real store. Needs root. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { randomBytes } from "node:crypto"
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { afterAll, beforeAll } from "vitest"
import { layer as httpTransport } from "../../../src/image/HttpTransport.ts"
import { ImageImport } from "../../../src/image/ImageImport.ts"
import { ImagePuller } from "../../../src/image/ImagePuller.ts"
import { Images } from "../../../src/image/Images.ts"
import { PullSettings } from "../../../src/image/PullSettings.ts"
import { RegistriesConf } from "../../../src/image/RegistriesConf.ts"
import { RegistryClient } from "../../../src/image/RegistryClient.ts"
import { TrustPolicy } from "../../../src/image/TrustPolicy.ts"
import { Files } from "../../../src/linux/Files.ts"
import { ImageStore } from "../../../src/store/ImageStore.ts"
import { noAuth } from "../../image/support/puller.ts"
import {
  type BuiltImage,
  busyboxLayers,
  imageOf,
  layerOf,
  makePlace,
  removePlace,
  sha256,
  storeLayer,
  tarOf,
  writeLayout
} from "../store/support.ts"
import { type Registry, startRegistry } from "./registry.ts"

const scratch = makePlace("pull-registry")
const user = { username: "puller", password: "s3cret:with colon" }
const ports = { plain: 25187, guarded: 25188 }
let plain: Registry
let guarded: Registry
let image: BuiltImage
const layout = `${scratch.directory}/layout`

/** One index with an image for this machine and one for another. */
const writeIndex = (directory: string, own: BuiltImage): string => {
  writeLayout(directory, own)
  const foreign = imageOf([layerOf(Buffer.alloc(1024))], "foreign")
  cpLayout(foreign, directory)
  const entry = (built: BuiltImage, architecture: string) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: sha256(built.manifest),
    size: built.manifest.length,
    platform: { os: "linux", architecture }
  })
  const here = process.arch === "arm64" ? "arm64" : "amd64"
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [entry(foreign, here === "arm64" ? "amd64" : "arm64"), entry(own, here)]
    })
  )
  writeFileSync(`${directory}/blobs/sha256/${sha256(index).slice(7)}`, index)
  const top = { mediaType: "application/vnd.oci.image.index.v1+json", digest: sha256(index), size: index.length }
  writeFileSync(`${directory}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [top] }))
  return sha256(index)
}

const cpLayout = (built: BuiltImage, directory: string): void => {
  const other = `${directory}-part`
  writeLayout(other, built)
  cpSync(`${other}/blobs`, `${directory}/blobs`, { recursive: true })
  rmSync(other, { recursive: true })
}

beforeAll(async () => {
  mkdirSync(`${scratch.directory}/certs/127.0.0.1:${ports.guarded}`, { recursive: true })
  mkdirSync(`${scratch.directory}/plain`)
  mkdirSync(`${scratch.directory}/guarded`)
  const random = tarOf((root) => writeFileSync(`${root}/random`, randomBytes(4_000_000)))
  image = imageOf([...busyboxLayers(), random].map((tar) => layerOf(tar)))
  writeLayout(layout, image)
  plain = await startRegistry({ directory: `${scratch.directory}/plain`, port: ports.plain })
  guarded = await startRegistry({ directory: `${scratch.directory}/guarded`, port: ports.guarded, guarded: user })
  await plain.push(layout, "library/app:oci")
  await plain.push(layout, "library/app:docker", "--format", "v2s2")
  await plain.push(layout, "library/app:zstd", "--dest-compress-format", "zstd")
  await guarded.push(layout, "team/app:v1")
}, 60_000)

afterAll(async () => {
  await plain.stop()
  await guarded.stop()
  removePlace(scratch)
})

interface WorldOptions {
  /** More of registries.conf. */
  readonly conf?: string
  readonly certs?: boolean
  readonly auths?: Record<string, unknown>
}

/** A daemon's image side over a fresh store, for which docker.io is the plain registry. */
const inWorld = <A, E>(
  effect: Effect.Effect<A, E, ImagePuller | Images | ImageImport | ImageStore>,
  options: WorldOptions = {}
) =>
  Effect.suspend(() => {
    const place = makePlace("pull")
    const conf = `${place.directory}/registries.conf`
    writeFileSync(
      conf,
      `[[registry]]\nprefix = "docker.io"\nlocation = "${plain.host}"\ninsecure = true\n${options.conf ?? ""}`
    )
    writeFileSync(`${place.directory}/auth.json`, JSON.stringify({ auths: options.auths ?? {} }))
    const layer = Layer.mergeAll(ImagePuller.layer, Images.layer, ImageImport.layer).pipe(
      Layer.provide(RegistryClient.layer),
      Layer.provide(Layer.merge(RegistriesConf.layer, TrustPolicy.layer)),
      Layer.provide(httpTransport),
      Layer.provide(
        PullSettings.layerTest({
          registriesConf: conf,
          certsDirs: options.certs === true ? [`${scratch.directory}/certs`] : [],
          authFiles: [`${place.directory}/auth.json`],
          platform: { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" }
        })
      ),
      Layer.provide(Files.layer),
      Layer.provideMerge(storeLayer(place)),
      Layer.fresh
    )
    return effect.pipe(
      Effect.provide(layer),
      Effect.tap(Effect.sync(() => assert.deepStrictEqual(leftovers(place.graphRoot), []))),
      Effect.ensuring(Effect.sync(() => removePlace(place)))
    )
  })

/** Layers on disk that layers.json does not list, and staged ones. */
const leftovers = (graphRoot: string): ReadonlyArray<string> => {
  const read = (name: string) => {
    try {
      return JSON.parse(readFileSync(`${graphRoot}/overlay-layers/${name}`, "utf8")) as ReadonlyArray<{ id: string }>
    } catch {
      return []
    }
  }
  const known = new Set(read("layers.json").map(({ id }) => id))
  const directories = (path: string) =>
    readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
  const staging = "cricket-staging"
  const present = directories(`${graphRoot}/overlay`).filter((name) => name !== "l" && name !== staging)
  return [...present.filter((name) => !known.has(name)), ...directories(`${graphRoot}/overlay/${staging}`)]
}

const pull = (reference: string, auth = noAuth) =>
  Effect.flatMap(ImagePuller, (puller) => puller.pull({ reference, auth }))

const blobGets = (registry: Registry, built: BuiltImage) =>
  built.layers.map(({ blob }) => registry.requests(`/blobs/${sha256(blob)}`).length)

describe("from a registry without TLS, under docker.io's name", () => {
  it.live("OCI and Docker manifests, gzip and zstd layers give the same image", () =>
    inWorld(
      Effect.gen(function* () {
        const oci = yield* pull("app:oci")
        assert.deepStrictEqual(oci.names, ["docker.io/library/app:oci"])
        assert.strictEqual(oci.id, sha256(image.config).slice(7))
        assert.isAbove(oci.size, 4_000_000)
        const zstd = yield* pull("docker.io/library/app:zstd")
        assert.strictEqual(zstd.id, oci.id)
        const docker = yield* pull("app:docker")
        assert.deepStrictEqual(docker.config.rootfs.diff_ids, oci.config.rootfs.diff_ids)
        const again = yield* pull(`app@${oci.manifestDigest}`)
        assert.strictEqual(again.id, oci.id)
        const images = yield* Images
        assert.strictEqual((yield* images.resolve("app:zstd"))?.id, oci.id)
        assert.strictEqual((yield* images.resolve(oci.id.slice(0, 10)))?.id, oci.id)
      })
    )
  )

  it.live("each way alone into an empty store, uncompressed layers too", () =>
    Effect.gen(function* () {
      const bare = imageOf(
        [
          layerOf(
            tarOf((root) => writeFileSync(`${root}/a`, "a")),
            "none"
          )
        ],
        "bare"
      )
      writeLayout(`${scratch.directory}/bare`, bare)
      yield* Effect.promise(() => plain.push(`${scratch.directory}/bare`, "library/bare:v1", "--preserve-digests"))
      assert.strictEqual((yield* inWorld(pull("bare:v1"))).id, sha256(bare.config).slice(7))
      for (const tag of ["docker", "zstd"]) {
        const stored = yield* inWorld(pull(`app:${tag}`))
        assert.strictEqual(stored.config.rootfs.diff_ids.length, 3, tag)
      }
    })
  )

  it.live("an index: the image of this machine, under the digest of the index", () =>
    Effect.gen(function* () {
      const own = imageOf([layerOf(tarOf((root) => writeFileSync(`${root}/own`, "x")))], "own")
      const digest = writeIndex(`${scratch.directory}/multi`, own)
      yield* Effect.promise(() => plain.push(`${scratch.directory}/multi`, "library/multi:v1", "--all"))
      yield* inWorld(
        Effect.gen(function* () {
          const stored = yield* pull(`multi@${digest}`)
          assert.strictEqual(stored.id, sha256(own.config).slice(7))
          assert.strictEqual(stored.manifestDigest, sha256(own.manifest))
          assert.strictEqual((yield* (yield* Images).resolve(`multi@${digest}`))?.id, stored.id)
        })
      )
    })
  )

  it.live("five equal pulls at once ask for every blob once", () =>
    inWorld(
      Effect.gen(function* () {
        const before = blobGets(plain, image)
        const all = yield* Effect.all(
          Array.from({ length: 5 }, () => pull("app:oci")),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(new Set(all.map(({ id }) => id)).size, 1)
        assert.deepStrictEqual(
          blobGets(plain, image).map((count, index) => count - (before[index] ?? 0)),
          [1, 1, 1]
        )
      })
    )
  )

  it.live("interrupted at any moment it leaves nothing, and the next pull works", () =>
    inWorld(
      Effect.gen(function* () {
        for (const delay of [1, 5, 10, 20, 40, 80, 160]) {
          const fiber = yield* Effect.forkChild(pull("app:oci"), { startImmediately: true })
          yield* Effect.sleep(delay)
          yield* Fiber.interrupt(fiber)
        }
        yield* pull("app:oci")
        const store = yield* ImageStore
        assert.strictEqual((yield* store.snapshot).images.length, 1)
      })
    )
  )

  it.live("missing images and dead registries are told apart", () =>
    inWorld(
      Effect.gen(function* () {
        const missing = yield* Effect.flip(pull("app:never"))
        assert.strictEqual(missing._tag, "ImageNotFoundInRegistry")
        assert.include(missing.message, "MANIFEST_UNKNOWN")
        const dead = yield* Effect.flip(pull("127.0.0.1:25186/app"))
        assert.strictEqual(dead._tag, "RegistryUnavailable")
        assert.match(dead.message, /^RegistryUnavailable: pull 127\.0\.0\.1:25186\/app:latest: .*ECONNREFUSED/)
      })
    )
  )
})

describe("from a registry with TLS and basic authentication", () => {
  const name = `127.0.0.1:${ports.guarded}/team/app:v1`

  it.live("without its authority, with a plain secure reference, nothing is sent", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(inWorld(pull(name, { ...noAuth, ...user })))
      assert.strictEqual(error._tag, "RegistryUnavailable")
      assert.match(error.message, /certificate|UNABLE_TO_VERIFY/i)
    })
  )

  it.live("an insecure registry's certificate is not asked for, and another registry's still is", () =>
    Effect.gen(function* () {
      const conf = `[[registry]]\nlocation = "${guarded.host}"\ninsecure = true\n`
      assert.strictEqual(
        (yield* inWorld(pull(name, { ...noAuth, ...user }), { conf })).id,
        sha256(image.config).slice(7)
      )
      const other = `[[registry]]\nlocation = "other.example"\ninsecure = true\n`
      const error = yield* Effect.flip(inWorld(pull(name, { ...noAuth, ...user }), { conf: other }))
      assert.strictEqual(error._tag, "RegistryUnavailable")
    })
  )

  it.live("credentials of the request, of a node's file, wrong ones and none", () =>
    Effect.gen(function* () {
      cpSync(`${scratch.directory}/guarded/ca.crt`, `${scratch.directory}/certs/127.0.0.1:${ports.guarded}/ca.crt`)
      const pair = Buffer.from(`${user.username}:${user.password}`).toString("base64")
      const trusted = { certs: true }
      const id = sha256(image.config).slice(7)
      assert.strictEqual((yield* inWorld(pull(name, { ...noAuth, ...user }), trusted)).id, id)
      assert.strictEqual((yield* inWorld(pull(name, { ...noAuth, auth: pair }), trusted)).id, id)
      const auths = { [`127.0.0.1:${ports.guarded}/team`]: { auth: pair } }
      assert.strictEqual((yield* inWorld(pull(name), { ...trusted, auths })).id, id)
      const wrong = yield* Effect.flip(inWorld(pull(name, { ...noAuth, username: "puller", password: "no" }), trusted))
      assert.strictEqual(wrong._tag, "PullUnauthorized")
      assert.strictEqual((yield* Effect.flip(inWorld(pull(name), trusted)))._tag, "PullUnauthorized")
    })
  )
})

describe("import from a directory", () => {
  it.live("gives the image that a pull gives", () =>
    inWorld(
      Effect.gen(function* () {
        const stored = yield* (yield* ImageImport).importLayout({ directory: layout, name: "app:oci" })
        assert.strictEqual(stored.id, sha256(image.config).slice(7))
        assert.deepStrictEqual(stored.names, ["docker.io/library/app:oci"])
        const before = blobGets(plain, image)
        yield* pull("app:oci")
        assert.deepStrictEqual(blobGets(plain, image), before)
      })
    )
  )

  it.live("refuses blobs that are not what they are named", () =>
    Effect.gen(function* () {
      const bad = `${scratch.directory}/bad`
      cpSync(layout, bad, { recursive: true })
      const layer = `${bad}/blobs/sha256/${sha256(image.layers[2]?.blob ?? new Uint8Array()).slice(7)}`
      writeFileSync(layer, Buffer.concat([readFileSync(layer), Buffer.from("x")]))
      const error = yield* Effect.flip(
        inWorld(Effect.flatMap(ImageImport, (service) => service.importLayout({ directory: bad, name: "app" })))
      )
      assert.include(["InvalidImage", "PulledDigestMismatch"], error._tag)
      const missing = yield* Effect.flip(
        inWorld(
          Effect.flatMap(ImageImport, (service) => service.importLayout({ directory: "/nonexistent", name: "app" }))
        )
      )
      assert.include(missing.message, "/nonexistent")
    })
  )
})
