import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parseImageDocument } from "../../src/model/ImageManifest.ts"
import * as MediaType from "../../src/model/MediaType.ts"

const digest = `sha256:${"1".repeat(64)}`
const config = { mediaType: MediaType.ociConfig, digest, size: 10 }
const layer = { mediaType: MediaType.ociLayerGzip, digest, size: 10 }
const manifest = { schemaVersion: 2, mediaType: MediaType.ociManifest, config, layers: [layer] }
const index = {
  schemaVersion: 2,
  mediaType: MediaType.ociIndex,
  manifests: [{ mediaType: MediaType.ociManifest, digest, size: 5, platform: { os: "linux", architecture: "amd64" } }]
}

const parse = (value: unknown, declared: ReadonlyArray<string> = []) =>
  parseImageDocument(new TextEncoder().encode(JSON.stringify(value)), declared)
const refusal = (value: unknown, declared: ReadonlyArray<string> = []): string => {
  const result = parse(value, declared)
  return Result.isFailure(result) ? result.failure.message : `accepted as ${result.success._tag}`
}

describe("parseImageDocument", () => {
  it("reads manifests and indexes of both families", () => {
    assert.strictEqual(Result.getOrThrow(parse(manifest))._tag, "Manifest")
    assert.strictEqual(Result.getOrThrow(parse(index))._tag, "Index")
    assert.strictEqual(
      Result.getOrThrow(
        parse({
          ...manifest,
          mediaType: MediaType.dockerManifest,
          config: { ...config, mediaType: MediaType.dockerConfig },
          layers: [{ ...layer, mediaType: MediaType.dockerLayerGzip }]
        })
      )._tag,
      "Manifest"
    )
    assert.strictEqual(Result.getOrThrow(parse({ ...index, mediaType: MediaType.dockerManifestList }))._tag, "Index")
  })

  it("takes the type from outside, or from the fields, where the document has none", () => {
    const { mediaType: _m, ...bareManifest } = manifest
    const { mediaType: _i, ...bareIndex } = index
    const known = Result.getOrThrow(parse(bareManifest, [MediaType.ociManifest]))
    assert.strictEqual(known._tag === "Manifest" ? known.manifest.mediaType : "", MediaType.ociManifest)
    assert.strictEqual(Result.getOrThrow(parse(bareManifest, ["application/json"]))._tag, "Manifest")
    assert.strictEqual(Result.getOrThrow(parse(bareIndex))._tag, "Index")
    assert.include(refusal(bareManifest, [MediaType.ociIndex]), "malformed image index")
  })

  it("reads null layers as none", () => {
    const read = Result.getOrThrow(parse({ ...manifest, layers: null }))
    assert.deepStrictEqual(read._tag === "Manifest" ? read.manifest.layers : undefined, [])
  })

  it("refuses documents that two tools could read differently", () => {
    assert.include(refusal({ ...manifest, manifests: index.manifests }), "a manifest and an index at once")
    assert.include(refusal({ ...index, layers: [layer] }), "an index and a manifest at once")
    assert.include(refusal({ ...index, config }), "an index and a manifest at once")
    assert.include(refusal(manifest, [MediaType.dockerManifest]), "is both")
    assert.include(refusal(manifest, [MediaType.ociManifest, MediaType.ociIndex]), "is both")
    assert.include(refusal({ ...manifest, mediaType: "text/html" }), "not that of an image")
    assert.include(refusal({ ...manifest, fsLayers: [] }), "schema 1")
    assert.include(refusal({ schemaVersion: 1 }), "schema 1")
  })

  it("refuses hostile numbers, digests and sizes", () => {
    for (const size of [-1, 1.5, 1e20, "10", null]) {
      assert.include(refusal({ ...manifest, layers: [{ ...layer, size }] }), "size", String(size))
    }
    for (const bad of ["", "sha256:../../x", `sha512:${"1".repeat(128)}`, 7]) {
      assert.include(refusal({ ...manifest, config: { ...config, digest: bad } }), "digest", String(bad))
    }
    assert.include(refusal({ ...manifest, layers: Array.from({ length: 501 }, () => layer) }), "at most 500")
  })

  it("refuses artifacts and layers that are no tar", () => {
    const chart = { ...config, mediaType: "application/vnd.cncf.helm.config.v1+json" }
    assert.include(refusal({ ...manifest, config: chart }), "artifact")
    assert.include(
      refusal({ ...manifest, layers: [{ ...layer, mediaType: `${MediaType.ociLayer}+encrypted` }] }),
      "cannot be unpacked"
    )
  })
})
